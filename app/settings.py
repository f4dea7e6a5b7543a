"""What an operator can set, typed and described; every setting is an environment variable `CERTSYNC_…`."""

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "CERTSYNC_"


@cache
def time_zones() -> frozenset[str]:
    """Return the names of the IANA database; without those that mean something else on each machine."""
    return frozenset(available_timezones() - {"Factory", "localtime"})


def check_timezone(name: str) -> str:
    """Return `name` if it is a zone of the IANA database, else raise ValueError with an example."""
    if name not in time_zones():
        raise ValueError("is not an IANA time zone; use a name such as America/New_York")
    return name


class Settings(BaseSettings):
    """The settings of one process, read once at its start and handed to what needs them.

    Each can also be given as `CERTSYNC_<NAME>_FILE`, the path of a file that holds the value
    (container and systemd secrets); the plain variable wins.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    environment: Literal["development", "production"] = Field(
        "development", description="`production` refuses generated keys and other newcomer's comforts."
    )
    data_dir: Path = Field(Path("var"), description="Database, keys, downloads and reports of the defaults.")
    database_url: SecretStr | None = Field(
        None, description="`postgresql://…`; default: SQLite in `DATA_DIR`."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://`, `rediss://`, `unix://`, or `redis+sentinel://host:26379,host:26379/name`; "
        "default: an embedded server in `DATA_DIR`.",
    )
    secret_key: SecretStr | None = Field(
        None, description="Signs tokens, 32 bytes or more; default: generated in `DATA_DIR` (development)."
    )
    encryption_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default_factory=list,
        description="Base64 keys of 32 bytes, newest first, with commas; default: generated (development).",
    )
    storage_url: str | None = Field(
        None,
        description="`s3://bucket/prefix` for licence files and PDFs; default: directories of `DATA_DIR`.",
    )
    storage_endpoint: str | None = Field(
        None,
        description="`https://…` of an S3-compatible server; default: Amazon's. `http://` is not encrypted.",
    )
    storage_region: str | None = Field(None, description="Region of the bucket; default: that of AWS_REGION.")
    storage_access_key_id: SecretStr | None = Field(
        None, description="Access key; default: AWS's own variables, then the role of the machine."
    )
    storage_secret_access_key: SecretStr | None = Field(None, description="The access key's secret.")
    storage_transfer_timeout: float = Field(
        1800, gt=0, description="Seconds to put a licence file into the bucket, or to get it back."
    )
    default_timezone: Annotated[str, AfterValidator(check_timezone)] = Field(
        "America/New_York", description="Time zone of a district that names none."
    )
    max_file_bytes: int = Field(
        2 * 1024**3, gt=0, description="A larger licence file is refused before it is read."
    )
    max_rejected_percent: float = Field(5, ge=0, le=100, description="More rejected rows refuse the file.")
    max_shrink_percent: float = Field(
        50, ge=0, le=100, description="More employees losing every licence refuse the file."
    )
    retained_files: int = Field(3, ge=1, description="Imported files kept as a fallback, per district.")
    quarantine_days: int = Field(7, ge=0, description="Days a refused file is kept for a look.")
    sftp_connect_timeout: float = Field(15, gt=0, description="Seconds to reach the state's server.")
    sftp_login_timeout: float = Field(30, gt=0, description="Seconds to authenticate there.")
    sftp_transfer_timeout: float = Field(1800, gt=0, description="Seconds for listing and download together.")
    max_requests: int = Field(
        100, ge=1, description="Requests that one API process serves at a time; it answers 503 to more."
    )
    runs_per_worker: int = Field(
        2,
        ge=1,
        le=16,
        description="Runs, of different districts, that one worker executes at a time.",
    )
    run_timeout: float = Field(4 * 3600, gt=0, description="Seconds after which a run is ended as failed.")
    pdf_timeout: float = Field(60, gt=0, description="Seconds after which the rendering of a PDF is killed.")
    pdf_rows: int = Field(500, gt=0, description="Rows printed over all lists of a PDF; CSVs have the rest.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severity that is logged."
    )

    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: readable lines on a terminal, JSON everywhere else."
    )
    worker_metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port at which a worker shows its metrics, without a token; off."
    )
    worker_metrics_host: str = Field("127.0.0.1", description="Address to which that port is bound.")

    @model_validator(mode="after")
    def check_storage(self) -> Self:
        """Refuse settings of a bucket without the bucket: files would lie on each host for itself."""
        given = (
            self.storage_endpoint,
            self.storage_region,
            self.storage_access_key_id,
            self.storage_secret_access_key,
        )
        if any(given) and not self.storage_url:
            raise ValueError(
                f"{PREFIX}STORAGE_URL is missing; give s3://bucket/prefix, or for directories of DATA_DIR "
                f"remove the other settings {PREFIX}STORAGE_…"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill what is not set from `CERTSYNC_<NAME>_FILE`."""
        for name in cls.model_fields:
            path = os.environ.get(f"{PREFIX}{name.upper()}_FILE")
            if path and values.get(name) is None:
                try:
                    values[name] = Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise ValueError(
                        f"{PREFIX}{name.upper()}_FILE: cannot read {path}: {error.strerror}"
                    ) from error
        keys = values.get("encryption_keys")
        if isinstance(keys, str):
            values["encryption_keys"] = [key.strip() for key in keys.split(",") if key.strip()]
        return values
