"""Maps on disk: what was put comes back, and nothing else does."""

import threading

import pytest
import torch

from unseen.errors import DataError
from unseen.vision.cache import FeatureCache, halved, key_of

KEY = key_of(b"an image", "lite0")


def features(seed=0):
    return torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(seed))


def test_what_is_put_comes_back_in_half_precision(tmp_path):
    cache = FeatureCache(tmp_path / "new" / "folder")
    assert cache.get(KEY) is None
    cache.put(KEY, features())
    assert torch.equal(FeatureCache(tmp_path / "new" / "folder").get(KEY), halved(features()))
    cache.put(KEY, features(1))
    assert torch.equal(cache.get(KEY), halved(features(1)))
    assert len(list(cache.folder.iterdir())) == 1  # nothing temporary is left


def test_a_map_that_is_laid_out_otherwise_comes_back_the_same(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put(KEY, features().permute(2, 0, 1))
    assert torch.equal(cache.get(KEY), halved(features().permute(2, 0, 1)))


def test_half_precision_by_hand():
    assert halved(torch.tensor([2049.0, -1e9])).tolist() == [2048.0, -65504.0]


def test_keys_tell_apart_content_and_features():
    keys = {key_of(b"a", "bc"), key_of(b"ab", "c"), key_of(b"a", "bd"), key_of(b"", "abc")}
    assert len(keys) == 4
    assert key_of(b"a", "bc") == key_of(b"a", "bc")


@pytest.mark.parametrize("key", ["../" + "a" * 61, "", "A" * 64, "a" * 64 + "\n", "a" * 63])
def test_only_a_digest_is_a_key(tmp_path, key):
    cache = FeatureCache(tmp_path)
    with pytest.raises(DataError, match="64 hexadecimal digits"):
        cache.put(key, features())
    with pytest.raises(DataError, match="64 hexadecimal digits"):
        cache.get(key)


def test_a_file_cut_anywhere_is_a_miss_and_is_replaced(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put(KEY, features())
    path = cache.path(KEY)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.get(KEY) is None
    cache.put(KEY, features())
    assert path.read_bytes() == whole


def test_a_file_with_any_byte_changed_is_a_miss(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.put(KEY, features())
    path, expected = cache.path(KEY), halved(features())
    whole = path.read_bytes()
    for place in range(len(whole)):
        for flipped in (1, 128):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flipped]) + whole[place + 1 :])
            found = cache.get(KEY)
            assert found is None or torch.equal(found, expected)


def test_readers_and_writers_at_once_see_one_map_or_the_other(tmp_path):
    cache, allowed = FeatureCache(tmp_path), [halved(features(0)), halved(features(1))]
    cache.put(KEY, features(0))
    writers = [
        threading.Thread(target=lambda s=s: [cache.put(KEY, features(s)) for _ in range(40)])
        for s in (0, 1)
    ]
    for writer in writers:
        writer.start()
    seen = [cache.get(KEY) for _ in range(100)]
    for writer in writers:
        writer.join()
    assert all(any(torch.equal(found, one) for one in allowed) for found in seen)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_a_folder_that_cannot_be_written_to_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="make room, or name another folder"):
        FeatureCache(tmp_path / "file").put(KEY, features())


def test_what_cannot_be_put_in_place_leaves_nothing(tmp_path):
    cache = FeatureCache(tmp_path)
    cache.path(KEY).mkdir()
    with pytest.raises(DataError, match="features cannot be kept there"):
        cache.put(KEY, features())
    assert list(tmp_path.iterdir()) == [cache.path(KEY)]
    assert cache.get(KEY) is None
