import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pipeline.layout import Layout, LayoutError, layout_for_state, layout_names, load_layout, parse_layout

VT = layout_for_state("vt")
STEM = "Curr_Lic_Eds_End_Limits_"


def instant(name: str, layout: Layout = VT) -> str | None:
    found = layout.datestamp(name)
    return found.isoformat() if found else None


MINIMAL = """
file_name = "x_{datestamp}"
date_formats = ["MM/DD/YYYY"]
[fields]
EducatorID = []
LastName = []
FirstName = []
LicenseNumber = ["Number"]
LicenseStatus = []
"""


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("20251122", "2025-11-22T00:00:00"),
        ("2025-11-22", "2025-11-22T00:00:00"),
        ("11222025", "2025-11-22T00:00:00"),
        ("20251122.csv", "2025-11-22T00:00:00"),
        ("11222025.TXT", "2025-11-22T00:00:00"),
        ("20251122.tar.gz", "2025-11-22T00:00:00"),
        ("20251122_0630", "2025-11-22T06:30:00"),
        ("20251122_063015.csv", "2025-11-22T06:30:15"),
        ("11222025_2359.csv", "2025-11-22T23:59:00"),
        ("2025-11-22T06:30:15", "2025-11-22T06:30:15"),
        ("2025-11-22T06-30-15Z.csv", "2025-11-22T06:30:15"),
        ("20251122T0630", "2025-11-22T06:30:00"),
        ("20240229", "2024-02-29T00:00:00"),
        ("20121110", "2012-11-10T00:00:00"),  # month 20 there is none
    ],
)
def test_datestamp_forms(rest: str, expected: str) -> None:
    assert instant(STEM + rest) == expected


@pytest.mark.parametrize(
    "name",
    [
        STEM,
        STEM + "20250229",
        STEM + "13012025",
        STEM + "19991231",
        STEM + "12311999",
        STEM + "21000101",
        STEM + "20132013",
        STEM + "2025-11-22_2400",
        STEM + "20251122_0660",
        STEM + "20251122_063",
        STEM + "11-22-2025",
        STEM + "20251122csv",
        STEM + "20251122.c sv",
        STEM + "20251122.csv\n",
        STEM + "20251122.csv\0",
        STEM + "20251122./../x",
        STEM + "２０２５1122",  # noqa: RUF001 - digits of another script are the point
        "x" + STEM + "20251122",
        "../" + STEM + "20251122",
        STEM.lower() + "20251122",
        STEM + "20251122." + "x" * 255,
        "",
    ],
)
def test_what_is_no_licence_file(name: str) -> None:
    assert VT.datestamp(name) is None


def test_the_longest_name() -> None:
    name = STEM + "20251122."
    assert instant(name + "x" * (255 - len(name))) == "2025-11-22T00:00:00"
    assert VT.datestamp(name + "x" * (256 - len(name))) is None


@given(
    st.text(st.characters(exclude_categories=()))
    | st.from_regex(r"[0-9]{8}([_T][0-9:]{0,8})?", fullmatch=True)
)
def test_datestamp_never_crashes_and_is_a_safe_name(rest: str) -> None:
    if VT.datestamp(STEM + rest) is not None:
        assert all(character.isascii() and character.isprintable() and character != "/" for character in rest)


def test_every_layout_loads_and_no_two_are_for_one_state() -> None:
    states = [layout.state for layout in map(load_layout, layout_names()) if layout.state]
    assert len(states) == len(set(states))
    assert layout_for_state("VT") == load_layout("vt_alis")


def test_an_unknown_layout_or_state_is_named() -> None:
    with pytest.raises(LayoutError, match="ZZ"):
        layout_for_state("ZZ")
    with pytest.raises(LayoutError, match="there are vt_alis"):
        load_layout("../../etc/passwd")


def test_a_districts_own_layout() -> None:
    layout = parse_layout('statuses = ["act ", "Pen"]\n' + MINIMAL, "own")
    assert layout.statuses == ("ACT", "PEN")
    assert instant("x_20251122.csv", layout) == "2025-11-22T00:00:00"
    assert layout.datestamp(STEM + "20251122") is None


@pytest.mark.parametrize(
    ("toml", "where"),
    [
        ("file_name = ", "not valid TOML"),
        (MINIMAL.replace("{datestamp}", ""), "file_name: must hold {datestamp} once"),
        (MINIMAL.replace("x_", "../x_"), "file_name: may hold"),
        (MINIMAL.replace("MM/DD/YYYY", "MM/DD"), "date_formats: 'MM/DD' is not"),
        (MINIMAL.replace('["MM/DD/YYYY"]', "[]"), "date_formats"),
        ("colour = 1\n" + MINIMAL, "colour: Extra"),
        ('delimiter = ":"\n' + MINIMAL, "delimiter"),
        ('encoding = "utf-16"\n' + MINIMAL, "encoding"),
        ("statuses = []\n" + MINIMAL, "statuses"),
        (MINIMAL + "Shoe = []", "fields.Shoe"),
        (MINIMAL.replace("LastName = []", ""), "no LastName"),
        (MINIMAL + "LicenseType = 3", "fields.LicenseType.*header = false"),
        (
            MINIMAL + 'LicenseType = ["num-ber"]',
            "fields.LicenseType: 'num-ber' already stands for LicenseNumber",
        ),
        ("header = false\n" + MINIMAL, "columns: say how many"),
        ("header = false\ncolumns = 7\n" + MINIMAL, "fields.EducatorID.*1 to 7"),
    ],
)
def test_a_wrong_layout_says_what_and_where(toml: str, where: str) -> None:
    with pytest.raises(LayoutError, match=where):
        parse_layout(toml, "own")
