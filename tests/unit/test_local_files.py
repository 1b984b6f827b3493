"""Secrets and ports that a private server keeps in its folder."""

import socket
import stat
from pathlib import Path

import pytest

from deploy.local.ports import free_ports, is_free, kept_ports
from deploy.local.secret import kept_secrets
from shared.errors import Misconfigured
from shared.privatefile import private_folder, write_private


def test_ports_stay_the_same_while_they_are_free(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = kept_ports(file, ["a", "b"], {})
    assert len(set(first.values())) == 2
    assert kept_ports(file, ["a", "b"], {}) == first
    more = kept_ports(file, ["a", "b", "c"], {})
    assert more.items() > first.items()


def test_a_kept_port_that_is_taken_is_replaced_and_a_chosen_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = kept_ports(file, ["a", "b"], {})
    with socket.create_server(("127.0.0.1", first["a"])):
        assert not is_free(first["a"])
        again = kept_ports(file, ["a", "b"], {})
        assert again["a"] != first["a"]
        assert again["b"] == first["b"]
        with pytest.raises(Misconfigured, match=rf"port {first['a']} .* meant for a"):
            kept_ports(file, ["a"], {"a": first["a"]})


def test_a_chosen_port_wins_over_a_kept_one_and_is_given_only_once(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    kept = kept_ports(file, ["a", "b"], {})
    chosen = kept_ports(file, ["a", "b"], {"a": kept["b"]})
    assert chosen["a"] == kept["b"]
    assert chosen["b"] != chosen["a"]


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


def test_secrets_are_random_kept_and_private(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    first = kept_secrets(file, ["a", "b"])
    assert len(set(first.values())) == 2
    assert all(len(secret) >= 32 for secret in first.values())
    assert kept_secrets(file, ["b"]) == {"b": first["b"]}
    assert kept_secrets(file, ["a", "b", "c"]).items() > first.items()
    assert kept_secrets(tmp_path / "other.json", ["a"])["a"] != first["a"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_private_file_is_private_also_over_a_public_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("public")
    file.chmod(0o644)
    write_private(file, "private")
    assert file.read_text() == "private"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_private_folder_is_closed_also_when_it_was_open(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True, mode=0o755)
    assert private_folder(folder) == folder.resolve()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
