-- The least that an import has to do, as one would write it by hand for psql: the file comes on standard
-- input. No row is judged, nothing is reported but the skipped employees, and nobody else is kept out.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET jit = off;
SET work_mem = '64MB';
-- In the locale C, lower() knows no accents.
SELECT quote_ident(coalesce(min(collname), 'default')) AS letters
FROM pg_collation WHERE collname IN ('C.utf8', 'C.UTF-8', 'pg_c_utf8') \gset
DROP TABLE IF EXISTS floor_file;
CREATE UNLOGGED TABLE floor_file (
    educator_id text, last_name text, first_name text, middle_name text, license_number text, license_type text,
    license_status text, issue_date text, expiration_date text, code text, description text,
    endorsement_issue_date text, endorsement_expiration_date text, limitation text
);
\copy floor_file FROM pstdin (FORMAT csv, HEADER)
SELECT 'load', extract(epoch FROM clock_timestamp());

-- Whose rows these are: the id first, and names are compared only where it is one of ours.
CREATE TEMP TABLE same_id AS
SELECT
    e.id AS employee_id, e.employee_number, f.*,
    lower(regexp_replace(btrim(f.last_name), '\s+', ' ', 'g') COLLATE :letters) || E'\x1f'
        || lower(regexp_replace(btrim(f.first_name), '\s+', ' ', 'g') COLLATE :letters) = e.name_key AS same_name
FROM floor_file AS f
JOIN employee AS e
    ON e.district_id = 'default' AND e.status = 'active' AND e.educator_key = ltrim(btrim(f.educator_id), '0')
WHERE f.license_status IN ('ACT', 'UDR');
ANALYZE same_id;

CREATE TEMP TABLE wanted_certification AS
SELECT DISTINCT ON (employee_id, btrim(license_number), license_type)
    md5('default' || E'\x1f' || employee_number || E'\x1f' || btrim(license_number) || E'\x1f' || license_type)
        ::uuid AS public_id,
    employee_id, btrim(license_number) AS license_number, license_type, license_status AS status,
    to_date(nullif(issue_date, ''), 'MM/DD/YYYY') AS issue_date,
    to_date(nullif(expiration_date, ''), 'MM/DD/YYYY') AS expiration_date
FROM same_id
WHERE same_name
ORDER BY employee_id, btrim(license_number), license_type, 7 DESC NULLS LAST, 6 DESC NULLS LAST, license_status;
ANALYZE wanted_certification;

CREATE TEMP TABLE wanted_endorsement AS
SELECT
    md5(replace(certification_public_id::text, '-', '') || E'\x1f' || code || E'\x1f' || row_number() OVER (
        PARTITION BY certification_public_id, code
        ORDER BY coalesce(limitation, ''), issue_date NULLS FIRST, expiration_date NULLS FIRST
    ))::uuid AS public_id,
    *
FROM (
    SELECT
        c.public_id AS certification_public_id, c.employee_id, s.code, nullif(s.limitation, '') AS limitation,
        to_date(nullif(s.endorsement_issue_date, ''), 'MM/DD/YYYY') AS issue_date,
        to_date(nullif(s.endorsement_expiration_date, ''), 'MM/DD/YYYY') AS expiration_date,
        max(s.description) AS description
    FROM same_id AS s
    JOIN wanted_certification AS c
        ON c.employee_id = s.employee_id AND c.license_number = btrim(s.license_number)
        AND c.license_type = s.license_type
    WHERE s.same_name AND s.code <> ''
    GROUP BY 1, 2, 3, 4, 5, 6
) AS distinct_endorsement;
ANALYZE wanted_endorsement;
SELECT 'match', extract(epoch FROM clock_timestamp());

-- Whom nobody matches but somebody resembles, with the first five of those.
CREATE TEMP TABLE unmatched AS
SELECT id, employee_number, educator_key, name_key FROM employee AS e
WHERE district_id = 'default' AND status = 'active'
    AND NOT EXISTS (SELECT FROM wanted_certification AS c WHERE c.employee_id = e.id);
ANALYZE unmatched;
CREATE UNLOGGED TABLE IF NOT EXISTS floor_skipped (
    employee_number text, basis text, educator_id text, last_name text, first_name text
);
TRUNCATE floor_skipped;
INSERT INTO floor_skipped
SELECT employee_number, basis, educator_id, last_name, first_name FROM (
    SELECT *, row_number() OVER (PARTITION BY employee_number ORDER BY basis, educator_id, last_name, first_name) AS place
    FROM (
        SELECT DISTINCT u.employee_number, 'id' AS basis, s.educator_id, s.last_name, s.first_name
        FROM unmatched AS u JOIN same_id AS s ON s.employee_id = u.id
        UNION ALL
        SELECT DISTINCT u.employee_number, 'name', f.educator_id, f.last_name, f.first_name
        FROM floor_file AS f
        JOIN unmatched AS u
            ON u.name_key = lower(btrim(f.last_name) COLLATE :letters) || E'\x1f'
                || lower(btrim(f.first_name) COLLATE :letters)
        WHERE f.license_status IN ('ACT', 'UDR')
    ) AS resembling
) AS ranked
WHERE place <= 5;
SELECT 'skipped', extract(epoch FROM clock_timestamp());

CREATE TEMP TABLE certification_change AS
SELECT h.id, w.*
FROM wanted_certification AS w
LEFT JOIN certification AS h ON h.district_id = 'default' AND h.public_id = w.public_id
WHERE h.id IS NULL OR (h.status, h.issue_date, h.expiration_date)
    IS DISTINCT FROM (w.status, w.issue_date, w.expiration_date);
CREATE TEMP TABLE certification_gone AS
SELECT h.id FROM certification AS h
JOIN employee AS e ON e.id = h.employee_id AND e.status = 'active'
WHERE h.district_id = 'default'
    AND NOT EXISTS (SELECT FROM wanted_certification AS w WHERE w.public_id = h.public_id);
CREATE TEMP TABLE endorsement_change AS
SELECT h.id, w.*
FROM wanted_endorsement AS w
LEFT JOIN endorsement AS h ON h.district_id = 'default' AND h.public_id = w.public_id
WHERE h.id IS NULL OR (h.description, h.issue_date, h.expiration_date, h.limitation)
    IS DISTINCT FROM (w.description, w.issue_date, w.expiration_date, w.limitation);
CREATE TEMP TABLE endorsement_gone AS
SELECT h.id FROM endorsement AS h
JOIN employee AS e ON e.id = h.employee_id AND e.status = 'active'
WHERE h.district_id = 'default'
    AND NOT EXISTS (SELECT FROM wanted_endorsement AS w WHERE w.public_id = h.public_id);
ANALYZE certification_change, certification_gone, endorsement_change, endorsement_gone;
SELECT 'difference', extract(epoch FROM clock_timestamp());

BEGIN;
DELETE FROM endorsement WHERE id IN (SELECT id FROM endorsement_gone);
DELETE FROM certification WHERE id IN (SELECT id FROM certification_gone);
UPDATE certification AS h
SET status = c.status, issue_date = c.issue_date, expiration_date = c.expiration_date, updated_at = now()
FROM certification_change AS c WHERE h.id = c.id;
INSERT INTO certification (
    district_id, source, updated_by, updated_at, version,
    public_id, employee_id, license_number, license_type, status, issue_date, expiration_date
)
SELECT
    'default', 'import', 'floor', now(), 1,
    public_id, employee_id, license_number, license_type, status, issue_date, expiration_date
FROM certification_change WHERE id IS NULL;
UPDATE endorsement AS h
SET description = c.description, issue_date = c.issue_date, expiration_date = c.expiration_date,
    limitation = c.limitation, updated_at = now()
FROM endorsement_change AS c WHERE h.id = c.id;
INSERT INTO endorsement (
    district_id, source, updated_by, updated_at, version, certification_id,
    public_id, employee_id, code, description, issue_date, expiration_date, limitation, is_primary
)
SELECT
    'default', 'import', 'floor', now(), 1, h.id,
    c.public_id, c.employee_id, c.code, c.description, c.issue_date, c.expiration_date, c.limitation, false
FROM endorsement_change AS c
JOIN certification AS h ON h.district_id = 'default' AND h.public_id = c.certification_public_id
WHERE c.id IS NULL;
COMMIT;
SELECT 'replace', extract(epoch FROM clock_timestamp());
