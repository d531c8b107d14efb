class ACL:
    def render(self) -> tuple[str, list[object]]: ...

AUTHED_UNRESTRICTED: ACL
UNRESTRICTED_ACCESS: ACL
