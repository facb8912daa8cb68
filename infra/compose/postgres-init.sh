#!/bin/bash
# Runs once, on an empty data folder: one database and one owner each for Airflow, MLflow and the ledger. Airflow and
# MLflow must not share one, both keep a table alembic_version.
set -euo pipefail

make_database() {
	psql --set ON_ERROR_STOP=1 --set name="$1" --set password="$2" --username "$POSTGRES_USER" --dbname postgres <<-'SQL'
		CREATE ROLE :"name" LOGIN PASSWORD :'password';
		CREATE DATABASE :"name" OWNER :"name";
		REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
	SQL
}

make_database airflow "$AIRFLOW_DB_PASSWORD"
make_database mlflow "$MLFLOW_DB_PASSWORD"
make_database ledger "$LEDGER_DB_PASSWORD"
