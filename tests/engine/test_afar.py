"""Functions that Flink runs ask live models in processes of the cluster, which have no project: beside the home, or elsewhere."""

from __future__ import annotations

import json
import pickle

import pytest
from tests.children import child
from tests.engine import publishing
from tests.engine.test_publishing import Cluster, ask, cluster

import aiflow as af

__all__ = ["cluster"]  # a fixture here, too


def as_bytes(live: af.LiveModel) -> str:
    return pickle.dumps(live).hex()


@pytest.mark.parametrize("is_remote", [False, True], ids=["local", "remote"])
def test_a_live_model_on_a_cluster_answers_as_what_is_deployed(cluster: Cluster, is_remote: bool) -> None:
    with cluster.open() as project:
        url, token = project._shared.endpoint() if is_remote else (None, None)
        cluster.identify(url=url, token=token)
        knn = project.models.register("k n/ä")
        with (
            project.models.live(knn) as live,
            child(publishing.predict_afar, str(cluster.folder), as_bytes(live)) as worker,
        ):
            worker.tell("no deployed version of model 'k n/ä'")
            worker.hear_of("answers ")
            for number, letters in enumerate(("ab", "b", "aab"), 1):
                knn.log(list(letters), stage="DEPLOYED")
                said = letters.index("b") * "." + f"k n/ä:{number}"
                worker.tell(said)
                assert worker.hear_of("answers ") == said
            assert worker.end() == ["DEPLOYED", "builtins.list", None]


@pytest.mark.parametrize("is_remote", [False, True], ids=["local", "remote"])
def test_what_cannot_be_loaded_on_a_cluster_leaves_the_old_one_in_place(cluster: Cluster, is_remote: bool) -> None:
    with cluster.open() as project:
        url, token = project._shared.endpoint() if is_remote else (None, None)
        cluster.identify(url=url, token=token)
        knn = project.models.register("knn")
        knn.log(["b"], stage="DEPLOYED")
        with (
            project.models.live(knn) as live,
            child(publishing.predict_afar, str(cluster.folder), as_bytes(live)) as worker,
        ):
            worker.tell("knn:1")
            worker.hear_of("answers ")
            gone = knn.log(["a", "b"])
            assert gone.hash is not None
            blob = project._store.blobs.path(gone.hash)
            moved = blob.rename(cluster.folder / "moved")
            knn.deploy(2)
            worker.tell("knn:1")
            worker.hear_of("answers ")
            knn.log(list("aab"), stage="DEPLOYED")
            worker.tell("..knn:3")
            worker.hear_of("answers ")
            assert worker.end()[2] is None
            moved.rename(blob)


def test_the_endpoint_sends_the_objects_of_models_only_and_to_who_has_the_token(cluster: Cluster) -> None:
    with cluster.open() as project:
        url, token = project._shared.endpoint()
        made = project.models.register("knn").log([1, 2, 3], stage="DEPLOYED")
        other = project._store.codec.encode_to_blob({"secret": "value"}, "a value").blob
        status, said = ask(url, token, "GET", "/models/knn")
        assert (status, json.loads(said)["number"]) == (200, 1)
        assert ask(url, token, "GET", "/models/nobody") == (200, "null")
        assert ask(url, token, "GET", f"/objects/{made.hash}")[0] == 200
        for path in (f"/objects/{other}", "/objects/..%2f..%2fstore.db", "/objects/x", f"/objects/{made.hash}/.."):
            assert ask(url, token, "GET", path)[0] == 404, path
        assert ask(url, "x", "GET", "/models/knn")[0] == 403
        assert ask(url, token, "GET", "/models/knn", Origin="http://evil.example")[0] == 403
        assert ask(url, token, "POST", "/models/knn", body={})[0] == 405
        assert ask(url, token, "POST", "/models/")[0] == 404
