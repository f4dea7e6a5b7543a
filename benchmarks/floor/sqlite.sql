-- The same as postgresql.sql for the sqlite3 shell, which takes the file from the path `floor.csv` of its
-- working directory. The shell has no MD5; sha3() stands for it. Scratch tables are in a file of their own,
-- without a journal, so that the district's database is locked by its transaction alone.
.bail on
ATTACH 'floor.db' AS side;
PRAGMA side.journal_mode = OFF;
PRAGMA side.synchronous = OFF;
PRAGMA main.synchronous = NORMAL;
PRAGMA foreign_keys = ON;
PRAGMA cache_size = -262144;
PRAGMA side.cache_size = -262144;
.import --csv --schema side floor.csv file
SELECT 'load', (julianday('now') - 2440587.5) * 86400.0;

CREATE TABLE side.same_id AS
SELECT
    e.id AS employee_id, e.employee_number, f.*,
    lower(trim(replace(replace(f.LastName, '  ', ' '), '  ', ' '))) || char(31)
        || lower(trim(replace(replace(f.FirstName, '  ', ' '), '  ', ' '))) = e.name_key AS same_name
FROM side.file AS f
CROSS JOIN employee AS e
    ON e.district_id = 'default' AND e.status = 'active' AND e.educator_key = ltrim(trim(f.EducatorID), '0')
WHERE f.LicenseStatus IN ('ACT', 'UDR');

CREATE TABLE side.wanted_certification AS
SELECT
    lower(substr(hex(sha3('default' || char(31) || employee_number || char(31) || license_number || char(31)
        || license_type, 224)), 1, 32)) AS public_id,
    employee_id, license_number, license_type, status, issue_date, expiration_date
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY employee_id, license_number, license_type
        ORDER BY expiration_date DESC NULLS LAST, issue_date DESC NULLS LAST, status
    ) AS place
    FROM (
        SELECT
            employee_id, employee_number, trim(LicenseNumber) AS license_number, LicenseType AS license_type,
            LicenseStatus AS status,
            iif(LicenseIssueDate = '', NULL, substr(LicenseIssueDate, 7) || '-' || substr(LicenseIssueDate, 1, 2)
                || '-' || substr(LicenseIssueDate, 4, 2)) AS issue_date,
            iif(LicenseExpirationDate = '', NULL, substr(LicenseExpirationDate, 7) || '-'
                || substr(LicenseExpirationDate, 1, 2) || '-' || substr(LicenseExpirationDate, 4, 2))
                AS expiration_date
        FROM side.same_id WHERE same_name
    )
)
WHERE place = 1;
CREATE UNIQUE INDEX side.wanted_certification_public_id ON wanted_certification (public_id);
CREATE INDEX side.wanted_certification_licence ON wanted_certification (employee_id, license_number, license_type);

CREATE TABLE side.wanted_endorsement AS
SELECT
    lower(substr(hex(sha3(certification_public_id || char(31) || code || char(31) || row_number() OVER (
        PARTITION BY certification_public_id, code
        ORDER BY coalesce(limitation, ''), issue_date NULLS FIRST, expiration_date NULLS FIRST
    ), 224)), 1, 32)) AS public_id,
    *
FROM (
    SELECT
        c.public_id AS certification_public_id, c.employee_id, s.EndorsementCode AS code,
        nullif(s.Limitation, '') AS limitation,
        iif(s.EndorsementIssueDate = '', NULL, substr(s.EndorsementIssueDate, 7) || '-'
            || substr(s.EndorsementIssueDate, 1, 2) || '-' || substr(s.EndorsementIssueDate, 4, 2)) AS issue_date,
        iif(s.EndorsementExpirationDate = '', NULL, substr(s.EndorsementExpirationDate, 7) || '-'
            || substr(s.EndorsementExpirationDate, 1, 2) || '-' || substr(s.EndorsementExpirationDate, 4, 2))
            AS expiration_date,
        max(s.EndorsementDescription) AS description
    FROM side.same_id AS s
    CROSS JOIN side.wanted_certification AS c
        ON c.employee_id = s.employee_id AND c.license_number = trim(s.LicenseNumber)
        AND c.license_type = s.LicenseType
    WHERE s.same_name AND s.EndorsementCode <> ''
    GROUP BY 1, 2, 3, 4, 5, 6
);
CREATE UNIQUE INDEX side.wanted_endorsement_public_id ON wanted_endorsement (public_id);
SELECT 'match', (julianday('now') - 2440587.5) * 86400.0;

CREATE TABLE side.unmatched AS
SELECT id, employee_number, name_key FROM employee AS e
WHERE district_id = 'default' AND status = 'active'
    AND NOT EXISTS (SELECT 1 FROM side.wanted_certification AS c WHERE c.employee_id = e.id);
CREATE INDEX side.unmatched_name_key ON unmatched (name_key);
CREATE INDEX side.unmatched_id ON unmatched (id);
CREATE TABLE side.skipped AS
SELECT employee_number, basis, educator_id, last_name, first_name FROM (
    SELECT *, row_number() OVER (PARTITION BY employee_number ORDER BY basis, educator_id, last_name, first_name) AS place
    FROM (
        SELECT DISTINCT u.employee_number, 'id' AS basis, s.EducatorID AS educator_id, s.LastName AS last_name,
            s.FirstName AS first_name
        FROM side.same_id AS s CROSS JOIN side.unmatched AS u ON s.employee_id = u.id
        WHERE NOT s.same_name
        UNION ALL
        SELECT DISTINCT u.employee_number, 'name', f.EducatorID, f.LastName, f.FirstName
        FROM side.file AS f
        CROSS JOIN side.unmatched AS u
            ON u.name_key = lower(trim(f.LastName)) || char(31) || lower(trim(f.FirstName))
        WHERE f.LicenseStatus IN ('ACT', 'UDR')
    )
)
WHERE place <= 5;
SELECT 'skipped', (julianday('now') - 2440587.5) * 86400.0;

CREATE TABLE side.certification_change AS
SELECT h.id, w.*
FROM side.wanted_certification AS w
LEFT JOIN certification AS h ON h.district_id = 'default' AND h.public_id = w.public_id
WHERE h.id IS NULL OR h.status IS NOT w.status OR h.issue_date IS NOT w.issue_date
    OR h.expiration_date IS NOT w.expiration_date;
CREATE TABLE side.certification_gone AS
SELECT h.id FROM certification AS h
JOIN employee AS e ON e.id = h.employee_id AND e.status = 'active'
WHERE h.district_id = 'default'
    AND NOT EXISTS (SELECT 1 FROM side.wanted_certification AS w WHERE w.public_id = h.public_id);
CREATE TABLE side.endorsement_change AS
SELECT h.id, w.*
FROM side.wanted_endorsement AS w
LEFT JOIN endorsement AS h ON h.district_id = 'default' AND h.public_id = w.public_id
WHERE h.id IS NULL OR h.description IS NOT w.description OR h.issue_date IS NOT w.issue_date
    OR h.expiration_date IS NOT w.expiration_date OR h.limitation IS NOT w.limitation;
CREATE TABLE side.endorsement_gone AS
SELECT h.id FROM endorsement AS h
JOIN employee AS e ON e.id = h.employee_id AND e.status = 'active'
WHERE h.district_id = 'default'
    AND NOT EXISTS (SELECT 1 FROM side.wanted_endorsement AS w WHERE w.public_id = h.public_id);
SELECT 'difference', (julianday('now') - 2440587.5) * 86400.0;

BEGIN IMMEDIATE;
DELETE FROM endorsement WHERE id IN (SELECT id FROM side.endorsement_gone);
DELETE FROM certification WHERE id IN (SELECT id FROM side.certification_gone);
UPDATE certification AS h
SET status = c.status, issue_date = c.issue_date, expiration_date = c.expiration_date
FROM side.certification_change AS c WHERE h.id = c.id;
INSERT INTO certification (
    district_id, source, updated_by, updated_at, version,
    public_id, employee_id, license_number, license_type, status, issue_date, expiration_date
)
SELECT
    'default', 'import', 'floor', datetime('now'), 1,
    public_id, employee_id, license_number, license_type, status, issue_date, expiration_date
FROM side.certification_change WHERE id IS NULL;
UPDATE endorsement AS h
SET description = c.description, issue_date = c.issue_date, expiration_date = c.expiration_date,
    limitation = c.limitation
FROM side.endorsement_change AS c WHERE h.id = c.id;
INSERT INTO endorsement (
    district_id, source, updated_by, updated_at, version, certification_id,
    public_id, employee_id, code, description, issue_date, expiration_date, limitation, is_primary
)
SELECT
    'default', 'import', 'floor', datetime('now'), 1, h.id,
    c.public_id, c.employee_id, c.code, c.description, c.issue_date, c.expiration_date, c.limitation, 0
FROM side.endorsement_change AS c
JOIN certification AS h ON h.district_id = 'default' AND h.public_id = c.certification_public_id
WHERE c.id IS NULL;
COMMIT;
SELECT 'replace', (julianday('now') - 2440587.5) * 86400.0;
