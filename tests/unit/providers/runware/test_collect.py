from runware_nb.errors import OutOfCredit, ProviderFailed, TaskInvalid
from runware_nb.providers.runware.collect import Collector

U = "00000000-0000-4000-8000-000000000000"


def collector(count=1, **more):
    return Collector({"taskType": "imageInference", "taskUUID": U, "numberResults": count, **more})


def item(name, **more):
    return {"taskType": "imageInference", "taskUUID": U, "imageUUID": name, "imageURL": f"http://x/{name}", **more}


def test_an_acknowledgement_is_no_result():
    found = collector()
    assert found.add([{"taskType": "imageInference", "taskUUID": U}]) == []
    assert found.accepted
    assert not found.is_done


def test_results_in_any_number_of_frames():
    found = collector(3)
    found.add([item("a"), item("b")])
    assert not found.is_done
    found.add([item("c")])
    assert found.is_done
    assert len(found.outcome()) == 3


def test_the_same_result_twice_counts_once():
    found = collector(2)
    assert len(found.add([item("a")])) == 1
    assert found.add([item("a")]) == []
    assert not found.is_done


def test_results_are_ordered_by_their_seed_in_the_batch():
    found = collector(3, seed=10)
    found.add([item("c", seed=12), item("a", seed=10), item("b", seed=11)])
    assert [(one.index, one.seed) for one in found.outcome()] == [(0, 10), (1, 11), (2, 12)]


def test_items_without_identity_all_come_back():
    found = Collector({"taskType": "promptEnhance", "taskUUID": U, "promptVersions": 3})
    for text in ("one", "two", "three"):
        found.add([{"taskType": "promptEnhance", "taskUUID": U, "text": text}])
    assert [one.text for one in found.outcome()] == ["one", "two", "three"]


def test_a_poll_of_items_without_identity_replaces():
    found = Collector({"taskType": "promptEnhance", "taskUUID": U, "promptVersions": 2})
    entries = [{"taskType": "promptEnhance", "taskUUID": U, "text": text, "status": "success"} for text in ("a", "b")]
    found.begin_poll()
    found.add(entries[:1])
    found.begin_poll()
    found.add(entries)
    assert [one.text for one in found.outcome()] == ["a", "b"]


def test_one_failure_among_four_ends_when_all_have_spoken():
    found = collector(4)
    found.fail([ProviderFailed("no", task_uuid=U)])
    assert found.wants_poll
    found.add([item("a"), item("b")])
    assert not found.is_done
    found.add([item("c")])
    assert found.is_done
    assert (len(found.outcome()), len(found.outcome().errors)) == (3, 1)


def test_polls_do_not_add_up_the_same_failure():
    found = collector(4)
    for _ in range(5):
        found.begin_poll()
        found.add([item("a"), {"taskUUID": U, "status": "processing", "imageUUID": "b"}])
        found.fail([ProviderFailed("no", task_uuid=U)])
        found.settle_poll()
    assert not found.is_done
    assert len(found.errors) == 1


def test_a_poll_with_an_error_and_nothing_running_is_the_end():
    found = collector(4)
    found.begin_poll()
    found.fail([ProviderFailed("no", task_uuid=U)])
    assert not found.is_done
    found.settle_poll()
    assert found.is_done


def test_a_refusal_ends_a_task_of_many():
    for error in (TaskInvalid("no", task_uuid=U), OutOfCredit("no", task_uuid=U)):
        found = collector(4)
        found.fail([error])
        assert found.is_done


def test_a_result_makes_an_earlier_error_void():
    found = collector(1)
    found.fail([ProviderFailed("still running", task_uuid=U)])
    found.add([item("a")])
    assert found.outcome().errors == []


def test_progress_is_the_mean_of_all():
    found = collector(2)
    found.add([item("a", status="success"), {"taskUUID": U, "imageUUID": "b", "status": "processing", "progress": 50}])
    assert found.progress == 75.0


def test_a_processing_item_with_a_uuid_is_no_result():
    found = collector()
    found.add([{"taskUUID": U, "imageUUID": "a", "status": "pending"}])
    assert not found.has_results


def failure():
    return ProviderFailed("no", task_uuid=U)


def test_an_error_pushed_while_a_poll_is_on_its_way_counts_once():
    """Found by the storm: a batch of four ended with one of its results missing."""
    found = collector(4)
    found.begin_poll()
    found.fail([failure()])
    found.add([item("a", status="success"), *({"status": "processing", "imageUUID": name} for name in "bc")])
    found.fail([failure()])
    found.add([item("b")])
    assert not found.is_done
    found.add([item("c")])
    assert found.is_done
    assert (len(found.outcome()), len(found.outcome().errors)) == (3, 1)


def test_an_error_beside_a_poll_that_was_not_answered_is_not_the_end():
    found = collector(2)
    found.begin_poll()
    found.fail([failure()])
    found.begin_poll()
    assert not found.is_done
    found.fail([failure()])
    found.begin_poll()
    assert found.is_done


def test_a_whole_answer_that_comes_twice_counts_once():
    found = Collector({"taskType": "caption", "taskUUID": U})
    entry = {"taskType": "caption", "taskUUID": U, "text": "a ship"}
    found.add([entry, dict(entry)])
    assert len(found.outcome()) == 1


def test_two_versions_that_are_equal_are_two():
    found = Collector({"taskType": "promptEnhance", "taskUUID": U, "promptVersions": 3})
    found.add([{"taskType": "promptEnhance", "taskUUID": U, "text": text} for text in ("a", "b", "a")])
    assert [one.text for one in found.outcome()] == ["a", "b", "a"]
    assert found.is_done


def test_what_a_first_sending_was_refused_for_is_no_part_of_the_second():
    found = collector(4)
    found.fail([failure()])
    found.forget_errors()
    found.add([item(name) for name in "abc"])
    assert not found.is_done
    found.add([item("d")])
    assert (len(found.outcome()), found.outcome().errors) == (4, [])
