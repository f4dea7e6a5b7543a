"""The store in a bucket: how it is set up, whom it asks, and what it does to memory."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.cli.common import load_settings
from app.constants import FileState
from app.errors import ConfigurationError
from app.factory import Factory
from app.failures import StorageFailed
from app.settings import Settings
from app.storage.download_folder import DownloadFolder
from app.storage.file_store import RemoteObject
from app.storage.object_store import ObjectStore
from tests.support.object_storage import PREFIX, Bucket, S3Server, content, keys

DOCUMENTED = Path(__file__).parents[1] / "docs" / "operate.md"


def documented_policy(bucket: str, prefix: str) -> str:
    """The policy of docs/operate.md, for this bucket."""
    _, _, after = DOCUMENTED.read_text().partition("### In a bucket")
    policy = after.partition("```json")[2].partition("```")[0]
    assert json.loads(policy)["Statement"]
    return policy.replace("hill-district", bucket).replace("certsync", prefix)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"storage_url": "hill"}, "s3://bucket/prefix"),
        ({"storage_url": "https://hill.s3.amazonaws.com"}, "s3://bucket/prefix"),
        ({"storage_url": "s3://"}, "s3://bucket/prefix"),
        ({"storage_url": "s3://Hill_District/x"}, "s3://bucket/prefix"),
        ({"storage_url": "s3://key:secret@hill/x"}, "s3://bucket/prefix"),
        ({"storage_url": "s3://hill/../x"}, "s3://bucket/prefix"),
        ({"storage_url": "s3://hill/x?versionId=1"}, "s3://bucket/prefix"),
        ({"storage_endpoint": "minio.example:9000"}, "https://minio.example:9000"),
        ({"storage_endpoint": "https://user:s3cret@minio.example"}, "https://minio.example:9000"),
        ({"storage_secret_access_key": None}, "CERTSYNC_STORAGE_SECRET_ACCESS_KEY"),
        ({"storage_access_key_id": None}, "CERTSYNC_STORAGE_ACCESS_KEY_ID"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(
    changes: dict[str, str | None], told: str, tmp_path: Path
) -> None:
    good = {
        "storage_url": "s3://hill/x",
        "storage_access_key_id": SecretStr("s3cret"),
        "storage_secret_access_key": SecretStr("s3cret"),
    }
    settings = Settings(data_dir=tmp_path).model_copy(update=good | changes)
    with pytest.raises(ConfigurationError, match=told.replace("/", r"\/")) as caught:
        Factory(settings)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://hill", "s3://hill/", "s3://hill.district-1/a/b/"])
def test_buckets_and_prefixes(url: str, tmp_path: Path) -> None:
    store = ObjectStore(Settings(data_dir=tmp_path, storage_url=url))
    assert store.address("reports/1.pdf") == f"{url.rstrip('/')}/reports/1.pdf"


def test_settings_come_from_the_environment_and_from_files(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    monkeypatch.setenv("CERTSYNC_STORAGE_URL", f"s3://{bucket.name}")
    monkeypatch.setenv("CERTSYNC_STORAGE_SECRET_ACCESS_KEY_FILE", str(tmp_path / "secret"))
    settings = Settings()
    assert settings.storage_secret_access_key
    assert settings.storage_secret_access_key.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)


def test_the_bucket_must_not_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTSYNC_STORAGE_ENDPOINT", "https://minio.example:9000")
    with pytest.raises(ConfigurationError, match="CERTSYNC_STORAGE_URL is missing"):
        load_settings()


async def test_without_a_key_the_libraries_own_variables_count(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = bucket.server.new_key(documented_policy(bucket.name, PREFIX))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    settings = bucket.settings(
        Settings(data_dir=tmp_path), storage_access_key_id=None, storage_secret_access_key=None
    )
    with bucket.server.accounts():
        assert await ObjectStore(settings).check() == ""


async def test_http_has_to_be_named(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.server.endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    store = ObjectStore(bucket.settings(Settings(data_dir=tmp_path), storage_endpoint=None))
    assert await store.check() != ""
    assert await ObjectStore(bucket.settings(Settings(data_dir=tmp_path))).check() == ""


async def test_the_documented_rights_are_enough(bucket: Bucket, tmp_path: Path) -> None:
    path = tmp_path / ("a" * 32)
    path.write_bytes(b"x" * 20_000_000)
    enough = bucket.server.new_key(documented_policy(bucket.name, PREFIX))
    elsewhere = bucket.server.new_key(documented_policy(bucket.name, "elsewhere"))
    with bucket.server.accounts():
        await use_everything(ObjectStore(bucket.settings(Settings(data_dir=tmp_path), enough)), path)
        store = ObjectStore(bucket.settings(Settings(data_dir=tmp_path), elsewhere))
        assert "AccessDenied" in await store.check()
        with pytest.raises(StorageFailed, match=r"AccessDenied.*rights in the bucket"):
            await store.put(path, "downloads/north/x")


async def use_everything(store: ObjectStore, path: Path) -> None:
    folder = DownloadFolder(store)
    assert await store.check() == ""
    await folder.put("north", path, FileState.RETAINED)
    (place,) = await keys(store)
    assert len(await content(store, place)) == 20_000_000
    with pytest.raises(FileNotFoundError):
        await store.open("reports/none.pdf")
    await store.remove(place)
    assert await keys(store) == set()


async def test_a_wrong_secret_says_what_to_do(bucket: Bucket, tmp_path: Path) -> None:
    settings = bucket.settings(
        Settings(data_dir=tmp_path), storage_secret_access_key=SecretStr("s3cret-and-wrong")
    )
    with bucket.server.accounts():
        assert "SignatureDoesNotMatch" in await ObjectStore(settings).check()
        with pytest.raises(StorageFailed, match="CERTSYNC_STORAGE_") as caught:
            await ObjectStore(settings).open("reports/x.pdf")
    assert "s3cret" not in caught.value.message


async def test_a_missing_bucket_is_not_a_missing_file(s3_server: S3Server, tmp_path: Path) -> None:
    store = ObjectStore(Bucket(s3_server, "no-such-bucket").settings(Settings(data_dir=tmp_path)))
    with pytest.raises(StorageFailed, match="NoSuchBucket"):
        await store.open("reports/x.pdf")


async def test_a_large_object_comes_in_pieces(bucket: Bucket, tmp_path: Path) -> None:
    store, path = ObjectStore(bucket.settings(Settings(data_dir=tmp_path))), tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 100_000)
    await store.put(path, "reports/large.pdf")
    found = await store.open("reports/large.pdf")
    assert isinstance(found, RemoteObject)
    sizes = [len(chunk) async for chunk in found.chunks]
    assert sum(sizes) == found.size == path.stat().st_size
    assert max(sizes) < 1 << 20
