"""How long things are kept that are about people, or show what people did."""

from pydantic import BaseModel, Field


class Retention(BaseModel):
    """The settings of what expires; `docs/personal-data.md` has the reasons for the defaults."""

    retained_files: int = Field(3, ge=1, description="Imported files kept as a fallback, per district.")
    retained_file_days: int = Field(
        120,
        ge=1,
        description="Days an imported file is kept as a fallback; the newest stays while a task is active.",
    )
    quarantine_days: int = Field(7, ge=0, description="Days a refused file is kept for a look.")
    report_days: int = Field(400, ge=1, description="Days for which the lists and the PDF of a run are kept.")
    edit_days: int = Field(
        400, ge=1, description="Days for which edits by hand are kept after an import came after them."
    )
    connection_event_days: int = Field(400, ge=1, description="Days for which connection events are kept.")
    audit_event_days: int = Field(2557, ge=1, description="Days for which audit events are kept.")
