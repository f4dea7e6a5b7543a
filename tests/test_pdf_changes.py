"""The list of changes in the PDF: worded, cut, and within its rows however long it is."""

from pathlib import Path

import pytest

from app.pipeline.report_html import report_html
from tests.support import report_data
from tests.support.pdf_text import text_of


async def test_changes_are_worded_with_the_edit_they_go_over(tmp_path: Path) -> None:
    report = report_data.report(changes=1)
    report["lists"]["changes"]["items"][0]["removed"] = [
        {
            "record": "endorsement",
            "id": "9",
            "license_number": "L-7",
            "license_type": "",
            "code": "2-05",
            "description": None,
            "issue_date": "2025-07-01",
            "expiration_date": None,
            "limitation": "One",
            "primary": True,
            "manual_edit": None,
        }
    ]
    text = await text_of(report, tmp_path / "report.pdf")
    for told in (
        "What was changed, by employee (1)",
        "E10000 O'Brien-Smith, Mary Kate changed Certification L-60000, Level II Professional",
        "expiration date: blank → Jun 30, 2029",
        "edited by hand: hr.admin, Nov 19, 2026, 10:04:05 AM EST",
        "removed Endorsement L-7, 2-05 issue date: Jul 1, 2025; limitation: One; primary: yes",
    ):
        assert told in text


def test_records_of_one_employee_are_cut_and_the_others_are_told() -> None:
    report = report_data.report()
    report["lists"]["changes"] = report_data.listing([report_data.changes(0, 1 + 7)])
    html = report_html(report, 500)
    assert html.count("Certification L-60") == 5
    assert "and 3 more" in html


@pytest.mark.parametrize("max_rows", [10, 100, 500])
def test_thousands_of_changes_stay_within_the_rows(max_rows: int) -> None:
    report = report_data.report()
    items = [report_data.changes(index, 3) for index in range(5_000)]
    report["lists"]["changes"] = report_data.listing(items)
    html = report_html(report, max_rows)
    assert html.count("Certification L-6") == max_rows // 3 * 3
    assert f"Showing {max_rows // 3:,} of 5,000. The complete list is in changes.csv." in html


async def test_a_preview_says_first_that_nothing_was_changed(tmp_path: Path) -> None:
    report = report_data.preview_report(changes=1, overwritten=1, skipped=1, missing_certification=1)
    text = await text_of(report, tmp_path / "report.pdf")
    assert text.index("This was a preview. Nothing was changed.") < text.index("Needs attention")
    assert "The import" not in text.split("Figures")[0]
    for told in (
        "nothing would be imported",
        "they would hold none",
        "Would be deleted",
        "Would be imported",
    ):
        assert told in text
    for past in (" was imported", " were imported", "Deleted held", "Imported held", "was overwritten"):
        assert past not in text
