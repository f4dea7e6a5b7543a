"""What an operator can set, typed and described; every setting is an environment variable `CERTSYNC_…`."""

import json
import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, IPvAnyNetwork, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.constants import Role
from app.settings.retention import Retention
from app.settings.sign_in import SignInSettings
from app.settings.values import PREFIX, check_origin, check_timezone, exposure, split_list

__all__ = ["PREFIX", "RATE_LIMIT", "Settings"]

LISTS = (
    "encryption_keys",
    "cors_origins",
    "oidc_algorithms",
    "sftp_allowed_networks",
    "sftp_denied_networks",
    "sftp_legacy_algorithms",
    "trusted_proxies",
)
"""Settings of several values, with commas, blanks or line ends between them."""
TABLES = (dict[str, Role], dict[str, str], dict[str, list[str]])
"""Types of settings that are JSON; in a variable the library reads it, in a file we do."""
RATE_LIMIT = 600
"""Requests a minute of one token in production: ten a second, all day, is more than an integration needs that
sends lists, and a few per cent of what one process can do. A program that runs wild is held by it."""


class Settings(SignInSettings, Retention, BaseSettings):
    """The settings of one process, read once at its start and handed to what needs them.

    Each can also be given as `CERTSYNC_<NAME>_FILE`, the path of a file that holds the value
    (container and systemd secrets); the plain variable wins.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    environment: Literal["development", "production"] = Field(
        "development", description="`production` refuses generated keys and other newcomer's comforts."
    )
    data_dir: Path = Field(Path("var"), description="Database, keys, downloads and reports of the defaults.")
    database_url: SecretStr | None = Field(
        None, description="`postgresql://…`; default: SQLite in `DATA_DIR`."
    )
    migration_database_url: SecretStr | None = Field(
        None, description="The same as the role that owns the tables, for `certsync migrate` alone."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://`, `rediss://`, `unix://`, or `redis+sentinel://host:26379,host:26379/name`; "
        "default: an embedded server in `DATA_DIR`.",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Signs tokens of the instance, 32 bytes or more; default: generated (development).",
    )
    encryption_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default_factory=list,
        description="Base64 keys of 32 bytes, newest first: the first encrypts, all decrypt. "
        "Default: generated (development).",
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
    sftp_connect_timeout: float = Field(15, gt=0, description="Seconds to reach the state's server.")
    sftp_login_timeout: float = Field(30, gt=0, description="Seconds to authenticate there.")
    sftp_transfer_timeout: float = Field(1800, gt=0, description="Seconds for listing and download together.")
    sftp_denied_networks: Annotated[list[str] | None, NoDecode] = Field(
        None,
        description="Networks that no connection may go to, with commas: `10.0.0.0/8`, `internal`; default: "
        "`internal` in production, none in development.",
    )
    sftp_allowed_networks: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="Exceptions from the denied networks, with commas: `10.8.0.5`."
    )
    sftp_legacy_algorithms: Annotated[list[str], NoDecode] = Field(
        default_factory=list, description="Outdated SSH algorithms to allow, with commas: `ssh-rsa`."
    )
    sftp_login_failures: int = Field(
        3, ge=1, description="Failed logins in a row after which the schedule waits."
    )
    sftp_backoff_hours: float = Field(
        24,
        gt=0,
        le=24 * 31,
        description="Hours of the first wait; the next are 2, 4 and then 7 times as long.",
    )
    host_key_second_person: bool = Field(
        False, description="A change of a pinned host key has to be confirmed by a second administrator."
    )
    syslog_address: str | None = Field(
        None,
        description="Where connection events are sent as they happen: `udp://host:514`, `tcp://host:601`, "
        "`tls://host:6514` or `unix:///dev/log`; off.",
    )
    max_requests: int = Field(
        100, ge=1, description="Requests that one API process serves at a time; it answers 503 to more."
    )
    max_connections: int = Field(
        500, ge=10, description="Connections to one API process; beyond, idle ones make room for new ones."
    )
    rate_limit_per_minute: int | None = Field(
        None,
        ge=0,
        description=f"Requests a minute of one token; 0: no limit. Default: {RATE_LIMIT}; development: none.",
    )
    trusted_proxies: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        default_factory=lambda: [ip_network("127.0.0.1")],
        description="Addresses or networks, with commas, whose `X-Forwarded-For` is believed; "
        "default: 127.0.0.1.",
    )
    cors_origins: Annotated[list[Annotated[str, AfterValidator(check_origin)]], NoDecode] = Field(
        default_factory=list,
        description="Origins, with commas, whose pages may call the API from a browser; default: none.",
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

    @model_validator(mode="after")
    def check_origins(self) -> Self:
        """Refuse every origin at once in production: any page that a user looks at could call the API."""
        if self.environment == "production" and "*" in self.cors_origins:
            raise ValueError(f"{PREFIX}CORS_ORIGINS may not be * in production; name each origin")
        return self

    @property
    def rate_limit(self) -> int:
        """Return the requests a minute that one token has; 0 for no limit."""
        if self.rate_limit_per_minute is None:
            return RATE_LIMIT if self.environment == "production" else 0
        return self.rate_limit_per_minute

    @model_validator(mode="before")
    @classmethod
    def read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill what is not set from `CERTSYNC_<NAME>_FILE`; in production a secret's file is private."""
        for name, field in cls.model_fields.items():
            variable = f"{PREFIX}{name.upper()}_FILE"
            path = os.environ.get(variable)
            if not path or values.get(name) is not None:
                continue
            private = "SecretStr" in repr(field.annotation) and values.get("environment") == "production"
            try:
                with Path(path).open(encoding="utf-8") as file:
                    fault = exposure(os.fstat(file.fileno()), os.geteuid()) if private else ""
                    text = file.read().strip()
            except OSError as error:
                raise ValueError(f"{variable}: cannot read {path}: {error.strerror}") from error
            except UnicodeDecodeError:  # it holds what it could not read
                raise ValueError(f"{variable}: {path} is not text in UTF-8") from None
            if fault:
                raise ValueError(f"{variable}: {path} {fault}")
            if text:  # an empty file is as an empty variable
                values[name] = json.loads(text) if field.annotation in TABLES else text
        for name in LISTS:
            if isinstance(listed := values.get(name), str):
                values[name] = split_list(listed)
        return values

    @property
    def denied_networks(self) -> list[str]:
        """The networks that no connection may go to; the word `none` alone is for none."""
        if self.sftp_denied_networks:
            return [] if self.sftp_denied_networks == ["none"] else self.sftp_denied_networks
        return ["internal"] if self.environment == "production" else []
