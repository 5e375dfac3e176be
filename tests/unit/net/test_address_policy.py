import pytest

from runware_nb.errors import MediaError
from runware_nb.net.address_policy import check_address, check_hop

REMOTE = "https://api.runware.ai/v1"
LOCAL = "http://127.0.0.1:8123/v1"


@pytest.mark.parametrize("url", ["https://im.runware.ai/a.jpg", "http://im.runware.ai/a.jpg"])
def test_public_addresses_are_fetched(url):
    assert check_hop(url, came_from=None, endpoint=REMOTE) is False


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://x/y", "//x/y", "x", "http://", "http://h:99999/", "http://127.0.0.1/a",
     "http://localhost/a", "http://10.0.0.1/a", "http://192.168.1.1/", "http://169.254.169.254/latest",
     "http://[::1]/a", "http://[::ffff:10.0.0.1]/a", "http://[fe80::1%25eth0]/", "http://0.0.0.0/", "http://100.64.0.1/",
     "http://foo.localhost/"],
)  # fmt: skip
def test_private_and_odd_addresses_are_refused(url):
    with pytest.raises(MediaError, match="refused"):
        check_hop(url, came_from=None, endpoint=REMOTE)


def test_a_local_endpoint_may_serve_its_own_media_and_nothing_else():
    assert check_hop("http://127.0.0.1:8123/media/a.jpg", came_from=None, endpoint=LOCAL) is True
    for url in ("http://127.0.0.1:8124/a", "http://127.0.0.1/a", "http://10.0.0.1:8123/a"):
        with pytest.raises(MediaError, match="private"):
            check_hop(url, came_from=None, endpoint=LOCAL)


def test_a_redirect_never_leaves_https():
    with pytest.raises(MediaError, match="https to http"):
        check_hop("http://x.example/a", came_from="https://x.example/a", endpoint=REMOTE)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:192.168.0.1", "fd00::1"])
def test_the_connected_address_counts_and_not_the_name(address):
    with pytest.raises(MediaError, match="private network"):
        check_address(address, is_local=False)
    check_address(address, is_local=True)


def test_a_public_connection_is_fine():
    check_address("93.184.216.34", is_local=False)
