"""The images of docs/existing-airflow.md, without images: ``make test-package``.

Each page's ``pip install`` runs as it is written, in a virtualenv that sees another one with Apache Airflow
alone. The official image's packages are installed, and make the DAGs; the others are resolved.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import homeostat

VENV, WHEEL = (os.environ.get(f"HOMEOSTAT_{name}", "") for name in ("AIRFLOW_VENV", "PACKAGE_WHEEL"))
pytestmark = [
    pytest.mark.skipif(
        not VENV, reason="runs in `make test-package`: it needs a virtualenv with Airflow alone"
    ),
    pytest.mark.timeout(1200),
]
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "existing-airflow.md").read_text()
DAGS = """
import json
from homeostat_airflow import homeostat_dags
print(json.dumps(sorted(homeostat_dags({models!r}))))
"""


def block(section, language):
    """The only block of this language in a section."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    [found] = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return found


def image_steps(dockerfile):
    """The instructions of a Dockerfile, as pairs of word and rest."""
    lines = [line for line in dockerfile.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Image:
    """A virtualenv in the place of an image: it sees the packages of the one with Airflow."""

    def __init__(self, folder):
        self.folder, self.root = folder, folder / "root"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        base, own = (
            output(f"{venv}/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
            for venv in (VENV, folder / "venv")
        )
        Path(own, "airflow_alone.pth").write_text(base + "\n")
        self.env = {
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            "PATH": f"{folder}/venv/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_QUIET": "1",
            "PYTHONWARNINGS": "ignore",
            "AIRFLOW_VERSION": self.version_of("apache-airflow"),
        }

    def version_of(self, name):
        code = f"from importlib.metadata import version; print(version({name!r}))"
        return output(f"{self.folder}/venv/bin/python", "-c", code)

    def run(self, *command, cwd=None, **more):
        done = subprocess.run(
            command,
            env={**self.env, **more},
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def build(self, dockerfile, context, **more):
        """Run COPY and RUN; absolute paths are below this image's folder."""
        work = self.root / "work"
        work.mkdir(parents=True)
        for word, rest in image_steps(dockerfile):
            if word == "COPY":
                source, target = [part for part in rest.split() if not part.startswith("--")]
                place = self.root / target.strip("/") if target.startswith("/") else work / target
                if (context / source).is_dir():
                    shutil.copytree(context / source, place, dirs_exist_ok=True)
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(context / source, place)
            elif word == "RUN":
                self.run("sh", "-euc", self.inside(rest), cwd=work, **more)

    def inside(self, text):
        """Move the absolute paths of a text below this image's folder."""
        return re.sub(r"(?<![\w/])/(?=(?:tmp|usr/local)/)", f"{self.root}/", text)


@pytest.fixture
def image(tmp_path):
    return Image(tmp_path)


@pytest.fixture
def context(tmp_path):
    """The folder that is built from, with the wheel in it."""
    folder = tmp_path / "context"
    folder.mkdir()
    shutil.copy(WHEEL, folder)
    return folder


def resolved(image, tmp_path):
    """Where pip reports what it would install, and a reader of the report."""
    report = tmp_path / "report.json"

    def read():
        found = json.loads(report.read_text())["install"]
        return {each["metadata"]["name"].lower(): each["metadata"]["version"] for each in found}

    return {"PIP_DRY_RUN": "1", "PIP_REPORT": str(report)}, read


def test_the_official_image_gets_the_provider_and_makes_the_dags(image, context, tmp_path):
    image.build(block("The official image", "dockerfile"), context)
    assert image.version_of("apache-airflow") == image.env["AIRFLOW_VERSION"]
    image.run("python", "-m", "pip", "check")
    providers = image.run("python", "-m", "airflow", "providers", "list")
    assert f"| {homeostat.__version__}" in providers.partition("homeostat")[2]
    models = tmp_path / "models"
    image.run("homeostat", "new", "churn", HOMEOSTAT_MODELS=str(models))
    found = image.run("python", "-c", DAGS.format(models=str(models))).strip().splitlines()[-1]
    assert json.loads(found) == ["drift_check__churn", "join_log_files", "retrain__churn"]


def test_the_image_for_kubernetes_resolves(image, context, tmp_path):
    how, read = resolved(image, tmp_path)
    for name in ("models", "dags"):
        (context / name).mkdir()
    image.build((ROOT / "infra/kubernetes/Dockerfile").read_text(), context, **how)
    assert {"homeostat", "mlflow", "scikit-learn", "psycopg2-binary", "boto3"} <= {*read()}
    assert "apache-airflow" not in read()


def test_the_requirements_of_astronomer_resolve(image, context, tmp_path):
    how, read = resolved(image, tmp_path)
    (context / "requirements.txt").write_text(image.inside(block("Astronomer", "requirements-astronomer")))
    image.build(block("Astronomer", "dockerfile"), context, **how)
    assert read()["homeostat"] == homeostat.__version__
    assert {"mlflow", "scikit-learn", "psycopg2-binary", "boto3"} <= {*read()}
    assert "apache-airflow" not in read()


def test_the_requirements_of_mwaa_resolve_with_its_constraints(image, tmp_path):
    how, read = resolved(image, tmp_path)
    airflow = image.root / "usr/local/airflow"
    checkout = tmp_path / "checkout"
    (checkout / "dist").mkdir(parents=True)
    shutil.copy(WHEEL, checkout / "dist")
    shutil.copy(ROOT / "requirements.txt", checkout)
    image.run("bash", "-euc", block("MWAA", "sh"), cwd=checkout)
    with zipfile.ZipFile(checkout / "plugins.zip") as plugins:
        plugins.extractall(airflow / "plugins")
    (airflow / "dags").mkdir()
    shutil.copy(checkout / "constraints.txt", airflow / "dags")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(image.inside(block("MWAA", "requirements-mwaa")))
    image.run("pip", "install", "-r", str(requirements), **how)
    locked = re.search(r"(?m)^mlflow==(\S+)", (ROOT / "requirements.txt").read_text())[1]
    found = read()
    assert found.pop("homeostat") == homeostat.__version__
    assert found["mlflow"] == locked
    assert "apache-airflow" not in found
