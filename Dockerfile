# One image for Airflow, MLflow and the gateways, with the same locked versions as on a developer's machine.
FROM python:3.12.12-slim-bookworm

# libgomp1: for scikit-learn's threads.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/*

LABEL org.opencontainers.image.title="homeostat" org.opencontainers.image.version="0.2.0"

ENV PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/homeostat/include \
    AIRFLOW_HOME=/opt/airflow \
    HOMEOSTAT_HOME=/opt/homeostat \
    HOMEOSTAT_STATE=/var/lib/homeostat \
    GIT_PYTHON_REFRESH=quiet

WORKDIR /opt/homeostat

COPY requirements.txt ./
RUN pip install --no-cache-dir --no-deps -r requirements.txt && pip check

# Folders that become volumes belong to the user: a new volume copies the ownership.
RUN useradd --uid 50000 --create-home homeostat \
 && mkdir -p /opt/airflow/logs /var/lib/homeostat \
 && chown -R homeostat /opt/airflow /var/lib/homeostat

COPY pyproject.toml setup.py README.md LICENSE airflow_settings.yaml ./
COPY include include
COPY plugins plugins
COPY dags dags
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

# SageMaker runs the image with the argument "serve".
COPY infra/image/serve /usr/local/bin/serve

# Recorded with every version. The image has neither git nor .git: pass `git describe --always --dirty --abbrev=40`.
ARG GIT_REVISION=
ENV HOMEOSTAT_GIT_REVISION=${GIT_REVISION}

USER homeostat
CMD ["homeostat", "--help"]
