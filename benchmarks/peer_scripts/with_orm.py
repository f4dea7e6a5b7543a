"""`with_orm.py FILE URL`: the file as a table, row by row with SQLAlchemy's ORM."""

import csv
import sys
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """What the mapped class needs."""


class Licence(Base):
    """A row of the file."""

    __tablename__ = "with_orm"

    id: Mapped[int] = mapped_column(primary_key=True)
    EducatorID: Mapped[str]
    LastName: Mapped[str]
    FirstName: Mapped[str]
    MiddleName: Mapped[str]
    LicenseNumber: Mapped[str]
    LicenseType: Mapped[str]
    LicenseStatus: Mapped[str]
    LicenseIssueDate: Mapped[str]
    LicenseExpirationDate: Mapped[str]
    EndorsementCode: Mapped[str]
    EndorsementDescription: Mapped[str]
    EndorsementIssueDate: Mapped[str]
    EndorsementExpirationDate: Mapped[str]
    Limitation: Mapped[str]


if __name__ == "__main__":
    file, url = sys.argv[1:]
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    with Path(file).open(newline="", encoding="utf-8") as text, Session(engine) as session:
        session.execute(sa.delete(Licence))
        for row in csv.DictReader(text):
            session.add(Licence(**row))
        session.commit()
