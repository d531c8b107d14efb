"""The guards around every test catch what they are there for."""

from tests.unit.conftest import InnerRun

GUARDED = """\
import _thread, asyncio, os, time
import pytest, pytest_asyncio
from asyncbackends import errors

kept = []
ours = {"time": time}
exec(compile("def block(): time.sleep(0)", errors.__file__, "exec"), ours)


async def test_task():
    kept.append(asyncio.create_task(asyncio.sleep(100), name="forgotten"))


def test_thread():
    _thread.start_new_thread(time.sleep, (4,))


def test_descriptor():
    kept.append(os.open(__file__, os.O_RDONLY))


async def test_blocking_call_of_ours():
    ours["block"]()


async def test_blocking_call_of_others():
    time.sleep(0)


async def test_clean():
    ending = asyncio.create_task(asyncio.sleep(0.01))
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.01)


@pytest.mark.asyncio(loop_scope="class")
class TestSharedLoop:
    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def shared(cls):
        task = asyncio.create_task(asyncio.sleep(100))
        yield task
        task.cancel()

    async def test_keeps_what_the_class_shares(self, shared):
        assert not shared.done()

    async def test_leaks(self, shared):
        kept.append(asyncio.create_task(asyncio.sleep(100), name="forgotten too"))
"""


def test_guards_fail_what_they_should(inner_run: InnerRun) -> None:
    result = inner_run(GUARDED)
    result.assert_outcomes(passed=7, failed=1, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "ERROR *::test_task - Failed: tasks left behind: *forgotten*",
            "ERROR *::test_thread - Failed: left behind: thread *",
            "ERROR *::test_descriptor - Failed: left behind: descriptor *test_inner.py*",
            "ERROR *::TestSharedLoop::test_leaks - Failed: tasks left behind: *",
            "FAILED *::test_blocking_call_of_ours - *BlockingError: Blocking call to time.sleep*",
        ]
    )
