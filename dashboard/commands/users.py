"""`python -m dashboard users`: the people who may sign in."""

from __future__ import annotations

import argparse
import getpass
import json
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from dashboard import settings as configuration
from dashboard.roles import Role
from dashboard.users import User, Users, UsersError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users-file", type=Path, help="default: DASHBOARD_USERS_FILE")
    actions = parser.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="let somebody sign in")
    add.add_argument("name")
    add.add_argument(
        "--role", dest="roles", action="append", type=Role, choices=list(Role), required=True, help="may be repeated"
    )
    roles = actions.add_parser("roles", help="give somebody these roles and no others")
    roles.add_argument("name")
    roles.add_argument(
        "--role", dest="roles", action="append", type=Role, choices=list(Role), required=True, help="may be repeated"
    )
    passwd = actions.add_parser("passwd", help="a new password; ends the person's sessions")
    passwd.add_argument("name")
    for parser_of_password in (add, passwd):
        given = parser_of_password.add_mutually_exclusive_group()
        given.add_argument("--password-file", type=Path, help="its first line is the password; - is standard input")
        given.add_argument("--generate", action="store_true", help="make one and print it")
    actions.add_parser("list", help="who may sign in")
    actions.add_parser("disable", help="end a person's sessions and let them in no more").add_argument("name")
    actions.add_parser("enable", help="let them in again").add_argument("name")
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def run(options: argparse.Namespace) -> int:
    try:
        users = Users(options.users_file or configuration.load().users_file)
        _act(users, options)
    except (UsersError, ValidationError, configuration.UnknownSetting, OSError) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 1
    return 0


def _act(users: Users, options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    if options.action == "list":
        _print_list(users.all(), as_json=options.json)
    elif options.action == "add":
        password = _password(options)
        _print_one(users.add(options.name, password, options.roles), "may sign in", options, password)
    elif options.action == "roles":
        _print_one(users.set_roles(options.name, options.roles), "has these roles now", options, None)
    elif options.action == "passwd":
        password = _password(options)
        _print_one(users.set_password(options.name, password, now), "has a new password", options, password)
    else:
        disabled = options.action == "disable"
        said = "may not sign in any more" if disabled else "may sign in again"
        _print_one(users.set_disabled(options.name, disabled, now), said, options, None)


def _password(options: argparse.Namespace) -> str:
    if options.generate:
        return secrets.token_urlsafe(12)
    if options.password_file is not None:
        text = sys.stdin.readline() if str(options.password_file) == "-" else options.password_file.read_text("utf-8")
        return text.split("\n", 1)[0].rstrip("\r")
    if not sys.stdin.isatty():
        raise UsersError("give the password with --password-file (- is standard input), or --generate")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise UsersError("the two passwords differ")
    return password


def _shown(user: User) -> dict[str, object]:
    valid_after = user.valid_after.isoformat() if user.valid_after.timestamp() else None
    return {"id": user.id, "name": user.name, "roles": list(user.roles), "disabled": user.disabled, "valid_after": valid_after}


def _print_one(user: User, said: str, options: argparse.Namespace, password: str | None) -> None:
    made = {"password": password} if password and options.generate else {}
    if options.json:
        print(json.dumps({**_shown(user), **made}))
    else:
        print(f"{user.name} ({', '.join(user.roles)}) {said}" + (f"; password: {password}" if made else ""))


def _print_list(users: list[User], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"items": [_shown(user) for user in users], "next": None, "total": len(users)}))
    elif not users:
        print("Nobody may sign in yet: add somebody with `python -m dashboard users add NAME --role admin`.")
    for user in [] if as_json else users:
        print(f"{user.name:24} {', '.join(user.roles)}{'  (disabled)' if user.disabled else ''}")
