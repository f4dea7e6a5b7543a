"""Who may reach every district, and that the documentation says so."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.test_architecture import python_files

MAY_REACH_EVERYWHERE = {
    "app/services/schedule.py": "the tick: which tasks are due",
    "app/services/run_execution.py": "which run is due, and its claim",
    "app/services/run_reporting.py": "which report is due",
    "workers/sweep.py": "runs that nobody took, keys of requests whose time is over",
    "app/services/encryption_keys.py": "rotation, and the check of the keys at the start",
    "app/services/metrics.py": "figures of the whole deployment",
    "app/services/health.py": "how long runs wait",
    "app/services/service_tokens.py": "tokens of the deployment, which are no district's",
    "app/services/districts.py": "the list of districts for operators, the first one of an instance",
    "app/services/chores.py": "which districts there are, for chores that go from one to the next",
    "app/services/token_reads.py": "what tokens of all districts, and of the deployment, were used for",
}
MAY_ENTER = {"app/api/dependencies.py", "app/cli/common.py"}
"""Where a whole task gets its district: whatever is called within cannot leave it by itself."""
MAKES_THEM = {"app/reach.py", "app/row_security.py"}


def users(root: Path, name: str) -> Iterator[str]:
    """Yield the modules that name `name`, however they got it."""
    for path in python_files(root, "app", "workers"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = {getattr(node, part, None) for part in ("id", "attr", "name", "value")}
            if name in named:
                yield str(path.relative_to(root))
                break


def test_only_these_reach_every_district() -> None:
    assert set(users(ROOT, "everywhere")) - MAKES_THEM == set(MAY_REACH_EVERYWHERE)
    assert set(users(ROOT, "enter_district")) - MAKES_THEM == MAY_ENTER
    assert set(users(ROOT, "_reach")) == {"app/reach.py"}


def test_nobody_else_changes_role_or_district() -> None:
    for path in python_files(ROOT, "app", "workers"):
        text = path.read_text(encoding="utf-8").lower()
        if str(path.relative_to(ROOT)) not in MAKES_THEM:
            assert "certsync.district" not in text, path
            assert "set role" not in text, path
            assert "set_config('role'" not in text, path


def test_the_documentation_names_them() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    for module, reason in MAY_REACH_EVERYWHERE.items():
        assert f"| `{module}` | {reason} |" in text


@pytest.mark.parametrize(
    "text",
    [
        "from app.reach import everywhere\n",
        "from app.reach import everywhere as wide\n",
        "from app import reach\n\n\ndef f():\n    with reach.everywhere():\n        pass\n",
        "import app.reach\n\nf = getattr(app.reach, 'everywhere')\n",
    ],
)
def test_a_planted_user_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "workers").mkdir()
    (tmp_path / "app" / "planted.py").write_text(text)
    assert list(users(tmp_path, "everywhere")) == ["app/planted.py"]
