"""Commands for files that are stored at Runway."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ....commands.arguments import whole_number
from ....commands.base import CommandResult
from ....commands.images_in import find_image
from ....engine.consent import confirm
from ....errors import (
    MagicUsageError,
)
from ....present.table import Table, render_facts, render_table
from ....remedies import Remedy
from ..assets import is_asset_id
from ..protocol import Asset, shorten_id
from .asking import MOST_LISTED, add_account_option, add_full_option, ask, emails_of, shown_email

if TYPE_CHECKING:
    from ....session import Session
    from ..client import UseApi

__all__ = ["Assets", "OneAsset"]


def _asset_row(asset: Asset, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "asset": asset.asset_id if options.full else shorten_id(asset.asset_id),
        "account": shown_email(asset.account or "", options),
        "name": asset.name,
        "bytes": asset.file_size_bytes,
    }


class Assets:
    """`assets`: files at Runway."""

    SUMMARY = "list the assets of the Runway accounts"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        add_account_option(parser)
        add_full_option(parser)
        parser.add_argument("--type", choices=["image", "video", "audio"], help="only these")
        parser.add_argument("--limit", type=whole_number, default=20, metavar="N",
                            help=f"most of each account, at most {MOST_LISTED} (default 20)")  # fmt: skip

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """List them."""

        async def read(client: UseApi) -> list[Asset]:
            found = []
            for email in await emails_of(client, options.account):
                found += await client.assets(email, media_type=options.type, limit=options.limit)
            return found

        assets = ask(session, read)
        rows = [_asset_row(asset, options) for asset in assets]
        cells = [[row["asset"], row["name"], "" if row["bytes"] is None else f"{row['bytes']:,}"] for row in rows]
        caption = "" if options.full else "--full shows the whole ids, which options such as --image accept"
        table = Table(["asset", "name", "bytes"], cells, empty="No assets.", caption=caption)
        return CommandResult(render_table(table), rows, value=assets)


class OneAsset:
    """`asset add FILE` and `asset remove ID`."""

    TAKES_ID = True
    SUMMARY = "upload a file as an asset, or remove one"

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("action", choices=["add", "remove"], help="what to do")
        parser.add_argument(
            "what", metavar="FILE|ID", help="a file, variable, URL or run; with remove, the id of an asset"
        )
        parser.add_argument("--account", metavar="EMAIL", help="the account that will own it")
        parser.add_argument("--yes", action="store_true", help="with remove: do not ask")
        add_full_option(parser)

    @staticmethod
    def run(session: Session, options: argparse.Namespace) -> CommandResult:
        """Upload or remove it.

        Raises:
            MagicUsageError: The word means no file, or no asset.
            NotConfirmed: The user did not agree to the removal. Nothing was changed.
        """
        if options.action == "add":
            value = find_image(options.what, session, getattr(options, "names", {}))

            async def send(client: UseApi) -> Asset:
                body = await client.download(value) if isinstance(value, str) and value.startswith("http") else value
                return await client.upload(body, email=options.account or await _first_account(client))

            asset = ask(session, send)
            row = _asset_row(asset, options)
            facts = [("asset", asset.asset_id if options.full else row["asset"]), ("name", asset.name)]
            row["asset"] = asset.asset_id  # a program needs the whole id to use it
            note = () if options.full else ("The id is in `.value` of rw.command, and with --full.",)
            return CommandResult(render_facts(facts), row, note, value=asset.asset_id)
        if not is_asset_id(options.what):
            raise MagicUsageError("Invalid id of an asset: `assets --full` lists them. Nothing was changed.")
        shown = shorten_id(options.what)
        if not options.yes:
            confirm(session.front_end, f"The asset {shown} will be deleted at Runway.", verb="Delete it",
                    undone="Nothing was changed.", remedy=Remedy("Add --yes to agree."))  # fmt: skip
        was_there = ask(session, lambda client: client.delete_asset(options.what))
        sentence = (
            f"The asset {shown} was deleted." if was_there else f"There is no asset {shown}. Nothing was changed."
        )
        return CommandResult({"text/plain": sentence}, {"asset": shown, "removed": was_there}, is_failure=not was_there)


async def _first_account(client: UseApi) -> str | None:
    """Return the account that owns an upload for which the user names none: one without an error."""
    accounts = await client.accounts()
    usable = [account for account in accounts if account.error is None] or accounts
    return usable[0].email if usable else None
