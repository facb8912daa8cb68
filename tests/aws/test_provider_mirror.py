"""Terraform's provider is found in every usual folder; a missing one is reported with what to install."""

import pytest

from aws.provider_mirror import find_mirror


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Simulate a machine that has only Terraform; this machine's folders are ignored."""
    terraform = tmp_path / "bin" / "terraform"
    terraform.parent.mkdir()
    terraform.touch(mode=0o755)
    for name in ("TF_PLUGIN_MIRROR", "TF_PLUGIN_CACHE_DIR", "TF_CLI_CONFIG_FILE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(terraform.parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "share"))
    monkeypatch.setattr("aws.provider_mirror.PLACES", ())
    return tmp_path


def unpacked(folder):
    program = folder / "registry.terraform.io/hashicorp/aws/5.100.0/linux_amd64/terraform-provider-aws"
    program.parent.mkdir(parents=True)
    program.touch()
    return folder


def packed(folder):
    archive = folder / "registry.terraform.io/hashicorp/aws/terraform-provider-aws_5.100.0_linux_amd64.zip"
    archive.parent.mkdir(parents=True)
    archive.touch()
    return folder


def test_the_configured_folder_comes_first(machine, monkeypatch):
    unpacked(machine / ".terraform.d" / "plugins")
    monkeypatch.setenv("TF_PLUGIN_MIRROR", str(packed(machine / "mine")))
    assert find_mirror() == (machine / "mine", "")


def test_the_folder_in_terraforms_settings_is_found(machine, monkeypatch):
    folder = unpacked(machine / "mirror")
    settings = machine / "settings.tfrc"
    settings.write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder}"\n  }}\n}}\n'
    )
    assert find_mirror()[1]
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(settings))
    assert find_mirror() == (folder, "")


def test_terraforms_default_folders_are_searched(machine):
    assert find_mirror()[1]
    folder = unpacked(machine / "share" / "terraform" / "plugins")
    assert find_mirror() == (folder, "")


def test_a_folder_below_a_common_place_is_found(machine, monkeypatch):
    monkeypatch.setattr("aws.provider_mirror.PLACES", (str(machine / "usual"),))
    folder = unpacked(machine / "usual" / "of" / "terraform")
    assert find_mirror() == (folder, "")


def test_what_is_missing_is_reported_with_what_to_install(machine):
    assert "TF_PLUGIN_MIRROR" in find_mirror()[1]
    (machine / "bin" / "terraform").unlink()
    assert "install Terraform" in find_mirror()[1]
