"""Chains in a real kernel: a place that states what is awaited and is filled later, and the names that are bound."""

import time

from .test_kernels import Kernel, pytestmark  # noqa: F401 - the same marks apply


def texts_until(kernel, wanted, timeout_s=30):
    """Return the plain texts of displays and their updates until one contains the wanted words."""
    seen = []
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        message = kernel.client.get_iopub_msg(timeout=timeout_s)
        text = message["content"].get("data", {}).get("text/plain", "")
        if message["msg_type"] in {"display_data", "update_display_data"} and text:
            seen.append((message["msg_type"], text))
            if all(any(word in text for _, text in seen) for word in wanted):
                return seen
    raise AssertionError(seen)


def test_a_chain_in_a_notebook(start_sandbox, tmp_path):
    sandbox = start_sandbox("--latency-s", "1.0")
    kernel = Kernel(tmp_path, sandbox.environment)
    try:
        kernel.run("%load_ext runware_nb\nimport runware_nb as rw")
        kernel.start("job = rw.image('a ship', width=128, height=128, seed=1)\njob.upscale(2, agreed=True)")
        seen = texts_until(kernel, ["waits for run", "1 result"])
        assert [kind for kind, _ in seen] == ["display_data"] + ["update_display_data"] * (len(seen) - 1)
        assert seen[0][1].startswith("waits for run")
        # the names: a job while it waits, the outcome once a cell has waited for it
        kernel.run("%runware upscale job --factor 4 --yes -b -o big")
        assert "True" in kernel.run("print(isinstance(big, rw.Job) and _rw is big)")
        kernel.run("%runware remove-background big --yes -o bare")
        assert "512" in kernel.run("print(isinstance(bare, rw.Outcome) and _rw is bare, bare[0].image.size)")
        assert "True" in kernel.run("print(big.is_done, rw.log.find(bare.task_uuid).parent_uuid == big.task_uuid)")
        # a group: a place for each
        kernel.start("rw.image('a ship', width=128, height=128, seed=9, number_results=2).upscale(2, agreed=True)")
        until = time.monotonic() + 30
        filled = set()
        while len(filled) < 2 and time.monotonic() < until:
            message = kernel.client.get_iopub_msg(timeout=30)
            if "1 result" in message["content"].get("data", {}).get("text/plain", ""):
                filled.add(message["content"]["transient"]["display_id"])
        assert len(filled) == 2
    finally:
        kernel.close()
