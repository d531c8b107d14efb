"""The shortcut to lead."""

import pytest

from asyncbackends.testing.coordination.clean_ends import CleanEnds
from asyncbackends.testing.coordination.fixtures import Coordination, CoordinationFixtures
from asyncbackends.testing.harness import Harness

__all__ = ("MasteringConformance",)

MOST_SUSPENSIONS = 60


class MasteringConformance(CoordinationFixtures):
    """``master_election``; what else there is about leading is of the recipe Election."""

    async def test_gives_the_result(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        async def work(*args: object, **kwargs: object) -> object:
            (leader,) = await other.contenders(root)
            value = await other.read_node(leader.path)
            return args, kwargs, value

        result = await coordination.master_election(root, "host-1", work, 1, two=2)
        assert result == ((1,), {"two": 2}, b"host-1")
        assert await coordination.contenders(root) == []

    async def test_error_of_the_work_is_raised(
        self, coordination: Coordination, other: Coordination, root: str
    ) -> None:
        async def fail() -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await coordination.master_election(root, "host-1", fail)
        assert await other.contenders(root) == []

    async def test_one_after_the_other(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        working: list[int] = []
        worked: list[int] = []

        async def work(number: int) -> int:
            working.append(number)
            assert working == [number]
            await harness.sleep(0.002)
            working.remove(number)
            worked.append(number)
            return number

        results = await harness.gather(
            *(
                client.master_election(root, f"host-{number}", work, number)
                for number, client in enumerate([coordination, other] * 5)
            )
        )
        assert results == [*range(10)]
        assert sorted(worked) == results
        assert await coordination.contenders(root) == []

    async def test_next_one_leads_when_a_leader_shuts_down(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        leading: list[str] = []

        async def work(name: str, seconds: float) -> str:
            leading.append(name)
            await harness.sleep(seconds)
            return name

        async def first_leads() -> bool:
            return leading == ["first"]

        first = coordination.master_election(root, "first", work, "first", 60)
        async with harness.background(harness.outcomes(first)) as leader:
            assert await harness.eventually(first_leads)
            async with harness.background(
                other.master_election(root, "second", work, "second", 0)
            ) as second:
                await harness.sleep(0.02)
                assert leading == ["first"]
                await coordination.shutdown()
                async with harness.deadline(5):
                    assert await second.result() == "second"
                    # The work of the first was cancelled: its term was over.
                    ((_, error),) = await leader.result()
        assert error is not None

    async def test_cancelled_anywhere_leaves_nothing(
        self, coordination: Coordination, other: Coordination, root: str, harness: Harness
    ) -> None:
        async def work() -> None:
            await harness.sleep(0)

        ends = CleanEnds(harness, other, root)
        for suspension in range(1, MOST_SUSPENSIONS):
            call = coordination.master_election(root, "host-1", work)
            if await ends.cancel_at(call, suspension):
                return
        pytest.fail("it did not end")
