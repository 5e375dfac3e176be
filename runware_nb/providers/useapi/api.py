"""`rw.useapi`: Runway through useapi.net in the session, with its log, budgets and recorded answers."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import ArgumentInvalid
from ...loop import background_loop, wait
from ...session.api import as_tags
from ...session.current import current_session
from .accounts import RECOMMENDED_JOBS, Password, UseApiAccount
from .models import DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL
from .provider import PREFIX, UseApiProvider

if TYPE_CHECKING:
    from ...engine.jobs import Job
    from ..webhook import Receiver
    from .protocol import Asset, UseApiTask

__all__ = ["UseApiFunctions", "useapi"]

T = TypeVar("T")
_MOST_IMAGES, _MOST_FRAMES_IMAGES = 8, 3


class UseApiFunctions:
    """Runway through useapi.net, from Python. `UseApi` is the small client without session and log.

    It drives your own Runway account through an unofficial proxy: check Runway's terms of use before you automate it.
    """

    def __repr__(self) -> str:
        return (
            "<runware_nb.useapi: video, image, frames, create, accounts, save_account, delete_account, credits, task>"
        )

    # --- generation --------------------------------------------------------------------------------------

    def video(
        self,
        prompt: str | None = None,
        *,
        model: str = DEFAULT_VIDEO_MODEL,
        start_frame: Any = None,
        end_frame: Any = None,
        images: Sequence[Any] = (),
        video: Any = None,
        audio_file: Any = None,
        account: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        tags: str | Iterable[str] | None = (),
        note: str | None = None,
        reply_url: str | None = None,
        **options: Any,
    ) -> Job:
        """Generate a video with `videos/create`.

        Media are paths, bytes, PIL images, numpy arrays, earlier results, URLs or ids of assets. Files are uploaded to
        one account, which then runs the task.

        Args:
            prompt: What to generate.
            model: Name of the model.
            start_frame: Image of the first frame.
            end_frame: Image of the last frame; it needs a start frame.
            images: Reference images, in order.
            video: Reference video.
            audio_file: Reference audio.
            account: E-mail of the account that runs it; by default one with a free slot, chosen by useapi.net.
            fresh: Whether the service is asked again although the log has the answer.
            agreed: Whether its unknown cost is agreed to beforehand.
            tags: A tag for the log, or several.
            note: A note for the log.
            reply_url: URL that the service calls when the task changes.
            **options: The model's own options in the spelling of the service, such as `duration`, `aspect_ratio`,
                `resolution`, `audio`, `seed` and `exploreMode`.

        Returns:
            A job: `.result()` waits, `await` waits too, and as the last line of a cell it shows itself.

        Raises:
            TaskInvalid: The service would refuse it; the message states what to change.
            ConfigError: There is no token.
            SpendingRefused: A budget does not cover it, or the user did not agree. Nothing was sent.
        """
        assets = {
            "startFrameAssetId": start_frame, "endFrameAssetId": end_frame, "videoAssetId": video,
            "audioAssetId1": audio_file, **_numbered(images, 11),
        }  # fmt: skip
        return self.create(
            "videos/create", text_prompt=prompt, model=model, assets=assets, account=account, fresh=fresh,
            agreed=agreed, tags=tags, note=note, reply_url=reply_url, **options,
        )  # fmt: skip

    def image(
        self,
        prompt: str,
        *,
        model: str = DEFAULT_IMAGE_MODEL,
        images: Sequence[Any] = (),
        account: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        tags: str | Iterable[str] | None = (),
        note: str | None = None,
        reply_url: str | None = None,
        **options: Any,
    ) -> Job:
        """Generate images with `images/create`.

        Args:
            prompt: What to generate.
            model: Name of the model.
            images: Reference images, in order. See `video` for what can be given.
            account: See `video`.
            fresh: See `video`.
            agreed: See `video`.
            tags: See `video`.
            note: See `video`.
            reply_url: See `video`.
            **options: The model's own options, such as `num_images`, `aspect_ratio`, `style`, `diversity` and `seed`.

        Returns:
            See `video`.

        Raises:
            TaskInvalid: See `video`.
            ConfigError: See `video`.
            SpendingRefused: See `video`.
        """
        return self.create(
            "images/create", text_prompt=prompt, model=model, assets=_numbered(images, _MOST_IMAGES), account=account,
            fresh=fresh, agreed=agreed, tags=tags, note=note, reply_url=reply_url, **options,
        )  # fmt: skip

    def frames(
        self,
        prompt: str,
        *,
        images: Sequence[Any] = (),
        account: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        tags: str | Iterable[str] | None = (),
        note: str | None = None,
        reply_url: str | None = None,
        **options: Any,
    ) -> Job:
        """Generate images with Frames.

        Args:
            prompt: What to generate. `@IMG_1` to `@IMG_3` stand for the reference images.
            images: Reference images, in order. See `video` for what can be given.
            account: See `video`.
            fresh: See `video`.
            agreed: See `video`.
            tags: See `video`.
            note: See `video`.
            reply_url: See `video`.
            **options: `style`, `aspect_ratio`, `diversity`, `num_images`, `seed` and `exploreMode`.

        Returns:
            See `video`.

        Raises:
            TaskInvalid: See `video`.
            ConfigError: See `video`.
            SpendingRefused: See `video`.
        """
        assets = _numbered(images, _MOST_FRAMES_IMAGES)
        return self.create(
            "frames/create", text_prompt=prompt, assets=assets, account=account, fresh=fresh, agreed=agreed, tags=tags,
            note=note, reply_url=reply_url, **options,
        )  # fmt: skip

    def create(
        self,
        path: str,
        *,
        assets: Mapping[str, Any] | None = None,
        account: str | None = None,
        fresh: bool = False,
        agreed: bool = False,
        tags: str | Iterable[str] | None = (),
        note: str | None = None,
        reply_url: str | None = None,
        **body: Any,
    ) -> Job:
        """Start a task with any create call, such as `gen4/act-two`.

        Args:
            path: Path of the call below `/v1/runwayml`.
            assets: Media by the name of their parameter, such as `{"video_assetId": "clip.mp4"}`. See `video` for what
                can be given.
            account: See `video`.
            fresh: See `video`.
            agreed: See `video`.
            tags: See `video`.
            note: See `video`.
            reply_url: See `video`.
            **body: Parameters in the spelling of the service. Those that are None are left out.

        Returns:
            See `video`.

        Raises:
            TaskInvalid: See `video`.
            ConfigError: See `video`.
            SpendingRefused: See `video`.
        """
        task: dict[str, Any] = {"taskType": f"{PREFIX}{path.strip('/')}"}
        task |= {name: value for name, value in body.items() if value is not None}
        given = {name: value for name, value in (assets or {}).items() if value is not None}
        task |= {"assets": given} if given else {}
        task |= {} if account is None else {"account": account}
        task |= {} if reply_url is None else {"webhookURL": reply_url}
        return current_session().submit(
            task, service="useapi", fresh=fresh, agreed=agreed, tags=as_tags(tags), note=note
        )

    # --- accounts, tasks and files ------------------------------------------------------------------------

    def accounts(self) -> list[UseApiAccount]:
        """Return the Runway accounts, each with the number of tasks that it runs now. It costs nothing.

        Raises:
            AuthenticationFailed: The token is refused.
            TransportError: The service cannot be reached.
        """
        return _ask(_provider().client.accounts(counts_jobs=True))

    def save_account(
        self, email: str, password: str | Password | None = None, max_jobs: int = RECOMMENDED_JOBS
    ) -> UseApiAccount:
        """Create or update a Runway account at useapi.net, which logs in with its password.

        Args:
            email: Its e-mail.
            password: Its password; by default from `USEAPI_RUNWAY_PASSWORD`. Never type it into a cell: the notebook
                stores it. Read it from a file or with `getpass`.
            max_jobs: Most tasks at a time, 1 to 10. The vendor recommends 5.

        Raises:
            TaskInvalid: Runway refused the e-mail or the password.
            TaskFailed: Runway has suspended the account.
            ConfigError: There is no password.
        """
        provider = _provider()
        secret = provider.password() if password is None else Password(password)
        del password
        saved = _ask(provider.client.save_account(email, secret, max_jobs))
        provider.limiter.expire()
        return saved

    def delete_account(self, email: str) -> bool:
        """Delete a Runway account from useapi.net; return whether it was there. Its tasks may go on."""
        provider = _provider()
        deleted = _ask(provider.client.delete_account(email))
        provider.limiter.expire()
        return deleted

    def credits(self, account: str | None = None) -> float | None:
        """Return the credits left in an account, or in all accounts together; None if that is not stated.

        Args:
            account: E-mail of the account; None for all.
        """
        provider = _provider()
        if account is not None:
            return _ask(provider.client.features(account)).credits_left
        balance = _ask(provider.account()).balance
        return None if balance is None else balance.amount

    def receiver(self, *, port: int = 0, host: str = "127.0.0.1", public_url: str | None = None) -> Receiver:
        """Start to receive callbacks in this session, and have later tasks carry the URL.

        useapi.net does not sign its callbacks. The path contains a token that cannot be guessed, and a callback only
        wakes the poll that waits for its task. Polls go on beside it, so nothing depends on callbacks.

        Args:
            port: Port to listen on; 0 for a free one.
            host: Address to listen on.
            public_url: URL of a tunnel or reverse proxy, under which the service reaches the port. Without it, only a
                sandbox on this machine is told to call.

        Returns:
            The receiver, which ends with the session, or with `%runware webhook --stop`.

        Raises:
            ConfigError: One is running already, or the port cannot be used.
        """
        return current_session().callbacks.start(port=port, host=host, public_url=public_url, services=["useapi"])

    def task(self, task_id: str) -> UseApiTask:
        """Read a task from the service, whether or not it was submitted here. It costs nothing.

        Raises:
            TaskNotFound: The service does not know it.
        """
        return _ask(_provider().client.task(task_id))

    def upload(self, value: Any, *, account: str | None = None) -> Asset:
        """Upload a file as an asset of an account.

        Args:
            value: A path, bytes, a PIL image, a numpy array or an earlier result. WebP is converted.
            account: E-mail of the account; it may be left out if only one is configured.

        Raises:
            MediaError: It is no medium, or is of a type that cannot be converted.
        """
        return _ask(_provider().client.upload(value, email=account))


def _numbered(images: Sequence[Any], most: int) -> dict[str, Any]:
    """Return reference images by the names of their parameters.

    Raises:
        ArgumentInvalid: There are too many, or a single one was given in place of a list.
    """
    if isinstance(images, str | bytes | Mapping) or not isinstance(images, Iterable) or hasattr(images, "task_uuid"):
        raise ArgumentInvalid("images", images, "a list of images")
    given = list(images)
    if len(given) > most:
        raise ArgumentInvalid("images", f"{len(given)} images", f"at most {most} images")
    return {f"imageAssetId{number}": image for number, image in enumerate(given, 1)}


def _ask(question: Coroutine[Any, Any, T]) -> T:
    return wait(background_loop().submit(question))


def _provider() -> UseApiProvider:
    """Return the provider of the session in use.

    Raises:
        ConfigError: There is no token.
    """
    session = current_session()
    session.require_key("useapi")
    provider = session.provider("useapi")
    assert isinstance(provider, UseApiProvider)
    return provider


useapi = UseApiFunctions()
