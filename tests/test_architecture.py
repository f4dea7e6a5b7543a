"""Who may import whom, how long a file may get, where transactions begin, what no import may do."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The rules. A name is a package or module directly in app/, or `workers`; `tools` are the modules in app/
# that the table does not name (crypto, job_queue …). Each may import itself and what stands beside it.
SUPPORT = {"settings", "constants", "errors", "failures"}
BELOW_STORAGE = SUPPORT | {"models", "tools"}
BELOW_PIPELINE = BELOW_STORAGE | {"storage"}
BELOW_SERVICES = BELOW_PIPELINE | {"pipeline"}
BELOW_TOP = BELOW_SERVICES | {"services", "factory"}
EVERYTHING = BELOW_TOP | {"api", "demo", "cli", "main", "supervisor", "workers"}
MAY_IMPORT = {
    "settings": SUPPORT,
    "constants": SUPPORT,
    "errors": SUPPORT,
    "failures": SUPPORT,
    "models": SUPPORT,
    "tools": BELOW_STORAGE,
    "storage": BELOW_STORAGE,
    "pipeline": BELOW_PIPELINE,
    "services": BELOW_SERVICES,
    "api": BELOW_TOP,
    "demo": BELOW_TOP,
    "workers": BELOW_TOP,
    "factory": EVERYTHING,
    "main": EVERYTHING,
    "cli": EVERYTHING,
    "supervisor": EVERYTHING,
}
DATA_PACKAGES = {"layouts", "templates"}

MAX_LINES = 300
COUNTED = ("app", "workers", "tests", "alembic", "benchmarks", "scripts")

TRANSACTION_CALLS = {"begin", "commit"}
MAY_BEGIN_TRANSACTIONS = {"services", "pipeline", "database", "workers"}


def python_files(root: Path, *directories: str) -> Iterator[Path]:
    for directory in directories:
        yield from sorted((root / directory).rglob("*.py"))


def module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(root: Path, name: str) -> bool:
    path = root.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def top_name(module: str) -> str | None:
    """Return `services` for `app.services.runs`, `workers` for `workers.tick`, None for other modules."""
    first, _, rest = module.partition(".")
    if first in ("workers", "tests", "benchmarks"):
        return first
    return rest.partition(".")[0] or None if first == "app" else None


def house(root: Path, module: str) -> str | None:
    """Return the table's name for a module; None for `app` itself, data and what is not ours."""
    name = top_name(module)
    if name is None or name in DATA_PACKAGES:
        return None
    is_module_of_app = module.startswith("app.") and not (root / "app" / name).is_dir()
    return "tools" if is_module_of_app and name not in MAY_IMPORT else name


def imported_modules(root: Path, path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of each import, also of those in functions and under TYPE_CHECKING."""
    package = module_name(root, path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                member = f"{origin}.{alias.name}"
                yield node.lineno, member if is_module(root, member) else origin


def wrong_imports(root: Path) -> Iterator[str]:
    for path in python_files(root, "app", "workers"):
        importer = house(root, module_name(root, path))
        if importer is None:
            continue
        if importer not in MAY_IMPORT:
            yield f"{path.relative_to(root)}: {importer} is not in this test's table; give it a place"
            continue
        for line, module in imported_modules(root, path):
            imported = house(root, module)
            if imported not in {None, importer, *MAY_IMPORT[importer]}:
                yield f"{path.relative_to(root)}:{line}: {importer} may not import {module}"


def long_files(root: Path) -> Iterator[str]:
    for path in python_files(root, *COUNTED):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            yield f"{path.relative_to(root)}: {lines} lines, more than {MAX_LINES}"


def called_name(node: ast.AST) -> str:
    """Return `begin` for the call `session.begin()`, `Settings` for `Settings()`, else an empty text."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "")


def misplaced_transactions(root: Path) -> Iterator[str]:
    for path in python_files(root, "app", "workers"):
        if top_name(module_name(root, path)) in MAY_BEGIN_TRANSACTIONS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if called_name(node) in TRANSACTION_CALLS and isinstance(node, ast.Call):
                yield f"{path.relative_to(root)}:{node.lineno}: .{called_name(node)}() belongs in a service"


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below `node` that an import of the module runs: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for part in (*getattr(child, "decorator_list", ()), child.args):
                yield part
                yield from run_at_import(part)
        else:
            yield child
            yield from run_at_import(child)


def global_settings(root: Path) -> Iterator[str]:
    for path in python_files(root, "app", "workers"):
        for node in run_at_import(ast.parse(path.read_text(encoding="utf-8"))):
            if called_name(node) == "Settings" and isinstance(node, ast.Call):
                yield f"{path.relative_to(root)}:{node.lineno}: builds settings at import time"


CHECKS = (wrong_imports, long_files, misplaced_transactions, global_settings)
Check = Callable[[Path], Iterator[str]]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_is_in_order(check: Check) -> None:
    assert list(python_files(ROOT, "app"))
    assert list(check(ROOT)) == []


CLEAN_TREE = {
    "app/__init__.py": "",
    "app/settings.py": "from app.errors import AppError\nclass Settings: ...\n",
    "app/errors.py": "import os\nclass AppError(Exception): ...\n",
    "app/crypto.py": "from app import settings\ndef load(): return settings.Settings()\n",
    "app/models/run.py": "from app.errors import AppError\n",
    "app/storage/runs.py": "from app.models.run import Run\nfrom app import crypto\n",
    "app/services/runs.py": "from app.storage import runs\nasync def f(s):\n    async with s.begin(): ...\n",
    "app/cli.py": "def worker():\n    from workers.tick import tick\n",
    "workers/tick.py": "import app.services.runs\n",
    "tests/test_it.py": "from app.api.runs import router\n",
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in {**CLEAN_TREE, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_clean_tree_passes(check: Check, tmp_path: Path) -> None:
    assert list(check(plant(tmp_path, {}))) == []


@pytest.mark.parametrize(
    ("check", "file", "text"),
    [
        (wrong_imports, "app/storage/runs.py", "import app.services.runs\n"),
        (wrong_imports, "app/storage/runs.py", "from app import services\n"),
        (wrong_imports, "app/storage/runs.py", "from app.services import runs\n"),
        (wrong_imports, "app/storage/runs.py", "from ..services.runs import f\n"),
        (wrong_imports, "app/storage/runs.py", "from .. import services\n"),
        (wrong_imports, "app/storage/__init__.py", "from ..services import runs\n"),
        (wrong_imports, "app/storage/runs.py", "def f():\n    from app.services.runs import f\n"),
        (wrong_imports, "app/storage/runs.py", "if TYPE_CHECKING:\n    from app.services.runs import f\n"),
        (wrong_imports, "app/models/run.py", "import app.crypto\n"),
        (wrong_imports, "app/errors.py", "from app.models.run import Run\n"),
        (wrong_imports, "app/crypto.py", "from app.storage.runs import f\n"),
        (wrong_imports, "app/services/runs.py", "import workers.tick\n"),
        (wrong_imports, "app/services/runs.py", "from tests.test_it import router\n"),
        (wrong_imports, "app/reports/pdf.py", "import os\n"),
        (long_files, "tests/test_long.py", "\n" * 301),
        (misplaced_transactions, "app/storage/runs.py", "async def f(s):\n    await s.commit()\n"),
        (misplaced_transactions, "app/api/runs.py", "async def f(s):\n    async with s.begin(): ...\n"),
        (global_settings, "app/main.py", "from app.settings import Settings\nsettings = Settings()\n"),
        (global_settings, "app/main.py", "import app.settings\ndef f(s=app.settings.Settings()): ...\n"),
        (global_settings, "workers/tick.py", "class Worker:\n    url = Settings().redis_url\n"),
    ],
)
def test_a_planted_violation_is_found(check: Check, file: str, text: str, tmp_path: Path) -> None:
    [violation] = check(plant(tmp_path, {file: text}))
    assert violation.startswith(file)
