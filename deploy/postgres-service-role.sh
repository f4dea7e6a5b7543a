#!/bin/sh
# Makes the role that API and workers use, in a database that another role owns (docs/deploy.md, Two roles).
# The container of PostgreSQL runs it once, when it makes its data directory. Typed again, it sets the password.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\set password `cat /run/secrets/service_password`
SELECT 'CREATE ROLE certsync_app LOGIN NOINHERIT'
WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'certsync_app') \gexec
ALTER ROLE certsync_app PASSWORD :'password';
SQL
