"""What people's SQL may do, and what not. The engine parses; the guard judges."""

from __future__ import annotations

import re

import pytest

from endpoints_pipeline.engine import Engine
from endpoints_pipeline.errors import InvalidInput

NOT_ALLOWED = r"is not allowed"
UNKNOWN_TABLE = r"Unknown table"
NOT_A_SELECT = r"Only a single SELECT query is allowed"
UNSUPPORTED = rf"{NOT_A_SELECT}|does not support JSON serialization|not supported by parseQueryToJSON|Syntax error"

#: Family -> what the refusal says, and queries of the family.
REFUSED: dict[str, tuple[str, str]] = {
    "table functions that reach files, hosts, processes and databases": (
        r"The table function '\w+' is not allowed",
        """
        SELECT * FROM file('/etc/passwd')
        SELECT * FROM FILE('/etc/passwd', 'LineAsString', 'x String')
        SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')
        SELECT * FROM s3('http://127.0.0.1:1/b/k')
        SELECT * FROM gcs('http://127.0.0.1:1/b/k')
        SELECT * FROM remote('127.0.0.1', system.one)
        SELECT * FROM remoteSecure('127.0.0.1', system.one)
        SELECT * FROM cluster('c', system.one)
        SELECT * FROM executable('id', 'TSV', 'x String')
        SELECT * FROM python('x')
        SELECT * FROM mysql('h:1', 'd', 't', 'u', 'p')
        SELECT * FROM postgresql('h:1', 'd', 't', 'u', 'p')
        SELECT * FROM sqlite('/tmp/a.db', 't')
        SELECT * FROM mongodb('h:1', 'd', 't', 'u', 'p', 'x UInt8')
        SELECT * FROM redis('h:1', 'k', 'k String')
        SELECT * FROM hdfs('hdfs://h/x', 'TSV')
        SELECT * FROM icebergLocal('/tmp/x')
        SELECT * FROM deltaLake('http://h/x')
        SELECT * FROM filesystem('/')
        SELECT * FROM input('x UInt8')
        SELECT * FROM dictionary('d')
        SELECT * FROM merge('system', '.*')
        SELECT * FROM loop(system.one)
        SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))
        SELECT * FROM viewIfPermitted(SELECT 1 ELSE null('x UInt8'))
        SELECT * FROM eval('SELECT 1')
        SELECT * FROM mergeTreeIndex('default', 'x')
        SELECT * FROM null('x String, y String ALIAS file(''/etc/passwd'')')
        SELECT * FROM noSuchFunction()
        SELECT * FROM zeros(3)
        SELECT * FROM view(SELECT * FROM file('/etc/passwd'))
        SELECT * FROM (SELECT * FROM (SELECT * FROM url('http://127.0.0.1:1/')))
        SELECT * FROM events JOIN file('/etc/passwd') AS f ON 1
        SELECT * FROM events WHERE 1 IN (SELECT * FROM url('http://127.0.0.1:1/'))
        SELECT EXISTS (SELECT * FROM file('/etc/passwd'))
        WITH f AS (SELECT * FROM file('/etc/passwd')) SELECT * FROM f
        SELECT 1 UNION ALL SELECT * FROM file('/etc/passwd')
        SELECT 1 INTERSECT SELECT * FROM file('/etc/passwd')
        SELECT 1 EXCEPT SELECT * FROM file('/etc/passwd')
        """,
    ),
    "table functions behind IN": (
        NOT_ALLOWED,
        """
        SELECT 1 IN url('http://127.0.0.1:1/')
        SELECT 1 NOT IN file('/etc/passwd')
        SELECT 1 GLOBAL IN s3('http://127.0.0.1:1/')
        SELECT in(1, url('http://127.0.0.1:1/'))
        SELECT IN(1, url('http://127.0.0.1:1/'))
        SELECT notNullInIgnoreSet(1, url('http://127.0.0.1:1/'))
        SELECT 'x' IN format(JSONEachRow, 'x String DEFAULT file(''/etc/passwd'')', '{}')
        SELECT 'x' IN fuzzQuery('SELECT 1')
        SELECT arrayExists(x -> x IN url('http://127.0.0.1:1/'), [1])
        """,
    ),
    "structures with an expression in them": (
        r"The first argument of values\(…\)",
        """
        SELECT y FROM values('x String, y String ALIAS file(''/etc/passwd'')', 'a')
        SELECT y FROM VALUES('x String, y ALIAS file(''/etc/passwd'')', 'a')
        SELECT y FROM values('x String, y String DEFAULT file(''/etc/passwd'')', 'a')
        SELECT y FROM values('x String, y String MATERIALIZED file(''/etc/passwd'')', 'a')
        SELECT y FROM values('x String, y String/*'' */ALIAS file(''/etc/passwd'')', 'a')
        SELECT y FROM values($$x String, y String ALIAS file('/etc/passwd')$$, 'a')
        WITH 'x String, y String ALIAS file(''/etc/passwd'')' AS s SELECT y FROM values(s, 'a')
        SELECT y FROM values(concat('x String, y String AL', 'IAS file(''/etc/passwd'')'), 'a')
        SELECT y FROM values((SELECT 'x String, y String ALIAS file(''/etc/passwd'')'), 'a')
        SELECT 'x' IN values('x String ALIAS file(''/etc/passwd'')', 'a')
        """,
    ),
    "functions that read files": (
        r"The function '\w+' is not allowed",
        """
        SELECT file('/etc/passwd')
        SELECT FILE('/etc/passwd')
        SELECT `file`('/etc/passwd')
        SELECT file('/etc/passwd')::String
        SELECT toString(file('/etc/passwd'))
        SELECT [file('/etc/passwd')], (file('/etc/passwd'), 1), map('a', file('/etc/passwd'))
        SELECT CASE WHEN file('/etc/passwd') = '' THEN 1 END
        SELECT INTERVAL file('/etc/passwd') DAY
        SELECT catboostEvaluate('/tmp/x', 1)
        WITH file('/etc/passwd') AS x SELECT x
        WITH f AS (SELECT file('/etc/passwd')) SELECT * FROM f
        SELECT * FROM view(SELECT file('/etc/passwd'))
        SELECT * FROM values('x String', file('/etc/passwd'))
        SELECT * FROM numbers((SELECT length(file('/etc/passwd'))))
        SELECT 1 UNION ALL SELECT file('/etc/passwd')
        SELECT 1 FROM events WHERE file('/etc/passwd') = ''
        SELECT 1 FROM events PREWHERE file('/etc/passwd') = ''
        SELECT 1 FROM events GROUP BY file('/etc/passwd')
        SELECT 1 FROM events HAVING file('/etc/passwd') = ''
        SELECT 1 FROM events QUALIFY file('/etc/passwd') = ''
        SELECT 1 FROM events ORDER BY file('/etc/passwd')
        SELECT 1 FROM events ORDER BY id WITH FILL FROM length(file('/etc/passwd'))
        SELECT id FROM events ORDER BY id WITH FILL INTERPOLATE (id AS file('/etc/passwd'))
        SELECT 1 FROM events LIMIT length(file('/etc/passwd'))
        SELECT 1 FROM events LIMIT 1 BY file('/etc/passwd')
        SELECT 1 FROM events ARRAY JOIN [file('/etc/passwd')] AS x
        SELECT 1 FROM events e JOIN users u ON file('/etc/passwd') = u.name
        SELECT sum(id) OVER (PARTITION BY file('/etc/passwd')) FROM events
        SELECT sum(id) OVER w FROM events WINDOW w AS (ORDER BY file('/etc/passwd'))
        SELECT sum(id) FILTER (WHERE file('/etc/passwd') = '') FROM events
        SELECT quantile(file('/etc/passwd'))(id) FROM events
        SELECT * REPLACE (file('/etc/passwd') AS id) FROM events
        """,
    ),
    "functions by their bare name": (
        NOT_ALLOWED,
        """
        SELECT * APPLY(file) FROM events
        SELECT * APPLY(FiLe) FROM events
        SELECT * APPLY file FROM events
        SELECT * APPLY(x -> file(x)) FROM events
        SELECT COLUMNS('name') APPLY(file) FROM events
        SELECT e.* APPLY(file) FROM events e
        SELECT arrayMap(file, ['/etc/passwd'])
        SELECT arrayMap((file), ['/etc/passwd'])
        SELECT arrayMap(`file`, ['/etc/passwd'])
        SELECT arraySort(file, ['/etc/passwd'])
        SELECT arrayFold(dictGet, ['a'], 'b')
        SELECT mapApply(getSetting, map('a', 'b'))
        SELECT arrayMap(x -> arrayMap(file, [x]), ['/etc/passwd'])
        SELECT arrayMap(x -> file(x), ['/etc/passwd'])
        SELECT * APPLY(x -> arrayMap(file, [x])) FROM events
        WITH x -> file(x) AS f SELECT f('/etc/passwd')
        WITH x -> upper(x) AS file SELECT file('/etc/passwd')
        WITH x -> upper(x) AS file SELECT arrayMap(file, ['/etc/passwd'])
        SELECT lambda(tuple(x), file(x))
        """,
    ),
    "functions that tell of the server, its users, settings and other objects": (
        r"The function '\w+' is not allowed",
        """
        SELECT dictGet('d', 'a', 1)
        SELECT DICTGET('d', 'a', 1)
        SELECT dictHas('d', 1)
        SELECT naiveBayesClassifier('d', 'x')
        SELECT joinGet('j', 'a', 1)
        SELECT joinGetOrNull('j', 'a', 1)
        SELECT getSetting('max_threads')
        SELECT getSettingOrDefault('custom_secret', '')
        SELECT getServerSetting('max_connections')
        SELECT getMacro('shard')
        SELECT getClientHTTPHeader('Authorization')
        SELECT currentUser()
        SELECT user()
        SELECT CURRENT_USER()
        SELECT currentRoles()
        SELECT currentQueryID()
        SELECT query_id()
        SELECT hostName()
        SELECT fullHostName()
        SELECT FQDN()
        SELECT serverUUID()
        SELECT tcpPort()
        SELECT showCertificate()
        SELECT filesystemAvailable()
        SELECT hasColumnInTable('system', 'one', 'dummy')
        SELECT addressToLine(1)
        SELECT logTrace('x')
        SELECT generateSerialID('x')
        SELECT zookeeperSessionUptime()
        SELECT aiGenerate('model', 'text')
        SELECT sleep(3)
        SELECT sleepEachRow(3) FROM events
        SELECT globalVariable('version')
        SELECT @@version
        SELECT __getScalar('x')
        SELECT noSuchFunction(1)
        """,
    ),
    "paths and foreign tables": (
        UNKNOWN_TABLE,
        """
        SELECT * FROM `/etc/passwd`
        SELECT * FROM '/etc/passwd'
        SELECT * FROM "/etc/passwd"
        SELECT * FROM default.`/etc/passwd`
        SELECT * FROM `events.parquet`
        SELECT * FROM `http://127.0.0.1:1/x.csv`
        SELECT * FROM events, `/etc/passwd`
        SELECT 'a' IN `/etc/passwd`
        SELECT in('a', `/etc/passwd`)
        SELECT 'a' IN default.`/etc/passwd`
        SELECT * FROM system.tables
        SELECT * FROM system.processes
        SELECT * FROM information_schema.tables
        SELECT * FROM default.events
        SELECT * FROM events, system.users
        SELECT * FROM events JOIN system.one ON 1
        SELECT (SELECT count() FROM system.tables)
        SELECT 1 IN system.one
        SELECT 1 GLOBAL NOT IN system.one
        SELECT nullIn(1, system.one)
        SELECT (1, 2) IN (system.one)
        SELECT 1 = ANY (SELECT * FROM system.one)
        SELECT 1 IN system.one FROM events AS system
        SELECT * FROM `warehouse.events`
        SELECT * FROM warehouse.`events.x`
        SELECT * FROM `system.one`
        SELECT 1 IN `warehouse.events`
        SELECT * FROM unknown
        """,
    ),
    "paths by way of WITH": (
        r"in WITH is not a plain identifier",
        """
        WITH `/etc/passwd` AS (SELECT 1) SELECT * FROM `/etc/passwd`
        SELECT * FROM (WITH `/etc/passwd` AS (SELECT 1) SELECT 1), '/etc/passwd'
        SELECT * FROM (WITH `system.one` AS (SELECT 1) SELECT 1), system.one
        WITH RECURSIVE `/etc/passwd` AS (SELECT 1) SELECT * FROM `/etc/passwd`
        SELECT 1 WHERE 1 IN (WITH `a b` AS (SELECT 1) SELECT 1)
        """,
    ),
    "settings, at any depth": (
        r"(SETTINGS|FORMAT) is not allowed",
        """
        SELECT 1 SETTINGS max_threads = 1
        SELECT 1 SETTINGS readonly = 0
        SELECT * FROM (SELECT 1 SETTINGS max_threads = 1)
        SELECT 1 UNION ALL SELECT 2 SETTINGS max_memory_usage = 0
        (SELECT 1 SETTINGS max_threads = 1) UNION ALL SELECT 2
        SELECT * FROM view(SELECT 1 SETTINGS max_rows_to_read = 0)
        WITH a AS (SELECT 1 SETTINGS max_execution_time = 0) SELECT * FROM a
        SELECT 1 WHERE 1 IN (SELECT 1 SETTINGS max_threads = 1)
        SELECT (SELECT 1 SETTINGS max_threads = 1)
        SELECT * FROM events JOIN (SELECT 1 AS id SETTINGS max_threads = 1) AS x USING id
        SELECT 1 SETTINGS max_threads = 1 FORMAT CSV
        """,
    ),
    "output elsewhere": (
        r"(FORMAT|INTO OUTFILE|COMPRESSION) is not allowed",
        """
        SELECT 1 FORMAT CSV
        SELECT 1 FORMAT Null
        SELECT 1 INTO OUTFILE '/tmp/out'
        SELECT 1 INTO OUTFILE '/tmp/out' TRUNCATE FORMAT CSV
        SELECT 1 INTO OUTFILE '/tmp/out' AND STDOUT
        SELECT 1 INTO OUTFILE '/tmp/out.gz' COMPRESSION 'gzip'
        """,
    ),
    "several statements": (
        r"Multi-statements are not allowed",
        """
        SELECT 1; SELECT 2
        SELECT 1; DROP TABLE events
        SELECT 1;; SELECT 2
        EXPLAIN AST SELECT 1; SELECT 2
        """,
    ),
    "other statements": (
        UNSUPPORTED,
        """
        INSERT INTO events SELECT 1
        INSERT INTO FUNCTION file('/tmp/x.csv') SELECT 1
        INSERT INTO events VALUES (1)
        CREATE TABLE x (a UInt8) ENGINE = Memory
        CREATE VIEW x AS SELECT 1
        CREATE FUNCTION f AS x -> x
        CREATE TEMPORARY TABLE x AS SELECT 1
        DROP TABLE events
        DROP DATABASE warehouse
        TRUNCATE TABLE events
        ALTER TABLE events DELETE WHERE 1
        DELETE FROM events WHERE 1
        UPDATE events SET id = 1 WHERE 1
        RENAME TABLE events TO x
        EXCHANGE TABLES events AND users
        ATTACH TABLE x
        DETACH TABLE events
        OPTIMIZE TABLE events
        SYSTEM SHUTDOWN
        SYSTEM FLUSH LOGS
        KILL QUERY WHERE 1
        EXPLAIN SELECT 1
        EXPLAIN AST SELECT 1
        DESCRIBE TABLE events
        DESCRIBE file('/etc/passwd')
        SHOW TABLES
        SHOW CREATE TABLE events
        EXISTS TABLE events
        CHECK TABLE events
        USE system
        SET max_threads = 1
        SET readonly = 0
        GRANT ALL ON *.* TO default
        CREATE USER x
        EXECUTE AS x
        BACKUP TABLE events TO File('/tmp/b')
        RESTORE TABLE events FROM File('/tmp/b')
        BEGIN TRANSACTION
        SELECT 1 PARALLEL WITH SELECT 2
        CREATE TABLE x (a UInt8) ENGINE = Memory PARALLEL WITH DROP TABLE events
        WITH y AS (SELECT 1) INSERT INTO events SELECT * FROM y
        FROM events INSERT INTO events SELECT *
        VALUES (1)
        TABLE events
        1 + 1
        DESCRIBE (SELECT 1)
        EXPLAIN SYNTAX SELECT 1
        CREATE DICTIONARY d (x UInt8) PRIMARY KEY x SOURCE(NULL()) LAYOUT(FLAT())
        CREATE NAMED COLLECTION c AS url = 'x'
        FROM INFILE '/etc/passwd' SELECT *
        SELECT * FROM (SHOW TABLES)
        """,
    ),
    "statements inside of a query": (
        r"ExplainQuery is not allowed|viewExplain|Syntax error|StreamSettings is not allowed",
        """
        SELECT * FROM (EXPLAIN SELECT 1)
        SELECT (EXPLAIN SELECT 1)
        SELECT * FROM events STREAM
        """,
    ),
    "parameters": (
        r"The parameter \{\w+\} is not allowed",
        """
        SELECT {x:UInt8}
        SELECT {s3_secret:String}
        SELECT {x:Identifier} FROM events
        SELECT * FROM {t:Identifier}
        SELECT * FROM {d:Identifier}.events
        SELECT * FROM warehouse.{t:Identifier}
        SELECT 1 IN {t:Identifier}
        SELECT * FROM numbers({n:UInt8})
        SELECT 1 LIMIT {n:UInt8}
        """,
    ),
}

ACCEPTED = """
SELECT 1
SELECT 'it''s', 'a\\'b', 0x1F, 1e10, 1_000_000, inf, nan, NULL, true, 'é漢', $$raw text$$
SELECT 1 /* a comment */ + 1 -- another
SELECT 1;
SELECT count() FROM events
FROM events SELECT id WHERE name = 'buy'
SELECT COUNT(*), SUM(amount), Max(at), COALESCE(score, 1), NULLIF(user_id, 1) FROM events GROUP BY ALL
SELECT e.id, u.name FROM events e JOIN users u ON e.user_id = u.user_id
SELECT * FROM events AS a INNER JOIN (SELECT user_id FROM users) AS b ON a.user_id = b.user_id LEFT JOIN users \\
    c USING (user_id)
SELECT * FROM events ANY LEFT JOIN users USING (user_id)
SELECT * FROM events LEFT SEMI JOIN users USING user_id
SELECT * FROM events FULL OUTER JOIN users USING user_id
SELECT e.id FROM events e ASOF LEFT JOIN users u ON e.user_id = u.user_id AND e.at >= toDateTime64(u.born, 3, 'UTC')
SELECT * FROM events CROSS JOIN users
SELECT * FROM events PASTE JOIN users
SELECT * FROM events, users WHERE events.user_id = users.user_id
SELECT * FROM warehouse.events
SELECT * FROM `warehouse`.`events`
WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a, b
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT sum(n) FROM t
WITH (SELECT max(id) FROM events) AS newest, 5 AS n SELECT newest - n
WITH x -> x * 2 AS double SELECT double(4), arrayMap(double, [1])
WITH events AS (SELECT 1 AS id) SELECT * FROM events
SELECT row_number() OVER (PARTITION BY user_id ORDER BY at DESC NULLS LAST) AS nth FROM events QUALIFY nth = 1
SELECT sum(id) OVER w, avg(id) OVER w FROM events WINDOW w AS (PARTITION BY name ORDER BY at ROWS BETWEEN 3 \\
    PRECEDING AND CURRENT ROW)
SELECT lagInFrame(id, 1, 0) OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM events
SELECT id, tag FROM events ARRAY JOIN tags AS tag
SELECT id, tag, i FROM events LEFT ARRAY JOIN tags AS tag, arrayEnumerate(tags) AS i
SELECT arrayJoin([1, 2, 3])
SELECT * FROM events ORDER BY at LIMIT 2 BY user_id LIMIT 10
SELECT * FROM events ORDER BY at LIMIT 5 WITH TIES
SELECT * FROM events ORDER BY at LIMIT 10 OFFSET 5
SELECT * FROM events ORDER BY at OFFSET 5 ROWS FETCH FIRST 3 ROWS ONLY
SELECT n FROM (SELECT number AS n FROM numbers(5)) ORDER BY n WITH FILL FROM 0 TO 10 STEP 1 INTERPOLATE (n AS n)
SELECT toDate(at) AS day, count() FROM events GROUP BY day ORDER BY day WITH FILL STEP toIntervalDay(1)
SELECT name FROM events ORDER BY name COLLATE 'de', id DESC
SELECT 1 UNION ALL SELECT 2 UNION DISTINCT SELECT 3
(SELECT 1) UNION ALL (SELECT 2)
SELECT 1 INTERSECT SELECT 1
SELECT 1 EXCEPT SELECT 2 UNION ALL SELECT 3
SELECT arrayMap(x -> x + 1, [1, 2]), arrayFilter((x, y) -> x > y, [1], [2]), arrayMap(upper, ['a']), \\
    arrayFold((a, x) -> a + x, [1], toInt64(0))
SELECT arraySort(tags), arrayExists(x -> x = 'all', tags), mapApply((k, v) -> (k, v + 1), map('a', 1)) FROM events
SELECT COLUMNS('^a'), e.COLUMNS(id, at) APPLY(toString) FROM events e
SELECT * EXCEPT (id, tags) FROM events
SELECT * EXCEPT('^a') FROM events
SELECT * REPLACE (id + 1 AS id) FROM events
SELECT COLUMNS('id') APPLY(sum), COLUMNS('^id$') APPLY(quantiles(0.5, 0.9)), COLUMNS('id') APPLY(x -> max(x + \\
    1)) FROM events
SELECT e.* EXCEPT (id), u.* REPLACE (lower(name) AS name) FROM events e, users u
SELECT CASE WHEN id = 1 THEN 'a' ELSE 'b' END, CASE name WHEN 'buy' THEN 1 WHEN 'click' THEN 2 ELSE 3 END FROM events
SELECT CAST(id AS String), id::UInt64, CAST(id, 'Decimal(10, 2)'), CAST((1, 'a') AS Tuple(x UInt8, y String)) \\
    FROM events
SELECT tags[1], (1, 'a').1, map('k', 1)['k'], tuple('a')::Tuple(x String).x, [1, 2, 3][-1], [(1, 2), (3, 4)] \\
    FROM events
SELECT ['x', 'y'], [[1], []], tuple(1, 'a', [1, 2]), map('a', 1)
SELECT id IN (1, 2, 3), user_id NOT IN (SELECT user_id FROM users), (id, user_id) IN ((1, 2)), id IN [1, 2] \\
    FROM events
SELECT * FROM events WHERE user_id IN (SELECT user_id FROM users) AND EXISTS (SELECT 1 FROM users)
WITH (1, 2) AS wanted SELECT * FROM events WHERE id IN wanted
SELECT 1 IN (SELECT * FROM numbers(3)), id IN (SELECT * FROM values('x UInt8', 1, 2)) FROM events
SELECT id BETWEEN 1 AND 2, score IS NULL, name LIKE '%x_', name NOT ILIKE 'X', NOT id, -id, id > 1 ? 1 : 2, \\
    name || 'x', id <=> user_id, id % 2 FROM events
SELECT INTERVAL 1 DAY, now() - INTERVAL 3 HOUR, DATE '2020-01-01', at + toIntervalDay(1), date_add(at, \\
    INTERVAL 1 MONTH) FROM events
SELECT EXTRACT(YEAR FROM at), substring(name FROM 1 FOR 2), trim(BOTH ' ' FROM name), position('a' IN name), \\
    DATE_TRUNC('month', at) FROM events
SELECT formatDateTime(at, '%Y-%m'), toStartOfInterval(at, INTERVAL 5 minute), dateDiff('day', at, now()), \\
    toTimeZone(at, 'Asia/Tokyo') FROM events
SELECT quantile(0.9)(id), countIf(id > 1), sumIf(id, id > 2), uniq(user_id), argMax(name, at), \\
    groupArray(10)(name), topK(3)(name) FROM events
SELECT count(DISTINCT name), sum(id) FILTER (WHERE id > 1), first_value(score) IGNORE NULLS, any(score) \\
    RESPECT NULLS FROM events
SELECT sumMap([1], [2]), sumForEach([1, 2]), avgOrNullIf(id, id > 1), finalizeAggregation(sumState(id)), \\
    uniqExactIf(id, 1) FROM events
SELECT arrayReduce('sum', [1, 2]), initializeAggregation('sum', 1) FROM events
SELECT DISTINCT name FROM events
SELECT DISTINCT ON (name) name, id FROM events
SELECT name, sum(id) FROM events GROUP BY name HAVING sum(id) > 0 ORDER BY ALL
SELECT name, grouping(name), sum(id) FROM events GROUP BY ROLLUP(name)
SELECT name, user_id, sum(id) FROM events GROUP BY GROUPING SETS ((name), (user_id), ())
SELECT name, sum(id) FROM events GROUP BY name WITH CUBE
SELECT name, sum(id) FROM events GROUP BY name WITH TOTALS
SELECT name FROM events GROUP BY name WITH ROLLUP WITH TOTALS
SELECT * FROM numbers(10)
SELECT * FROM generate_series(1, 10) AS a, primes(3) AS b
SELECT * FROM values('a UInt8, b Array(Nullable(String))', (1, ['x']), (2, []))
SELECT * FROM values((1, 'x'), (2, 'y'))
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t
SELECT * FROM view(SELECT 1 AS x)
SELECT * FROM (SELECT id, name, user_id FROM events) AS t (x, y, z)
SELECT id AS b, b + 1 AS c FROM events
SELECT JSONExtractString('{"a": 1}', 'a'), '{"a": {"b": 1}}'::JSON.a.b
SELECT format('{} {}', name, id), concat(name, '-', toString(id)), splitByChar(',', name), \\
    replaceRegexpAll(name, 'a', 'b') FROM events
SELECT if(id > 1, 'x', 'y') AS k, multiIf(id = 1, 'x', id = 2, 'y', 'z') FROM events GROUP BY ALL
SELECT user, file, url FROM (SELECT 1 AS user, 'x' AS file, ['y'] AS url)
SELECT lower(file), count(user), arrayMap(x -> x, t.url) FROM (SELECT 1 AS user, 'x' AS file, ['y'] AS url) AS \\
    t GROUP BY ALL
SELECT 1 AS `weird name`, 2 AS "quoted", 3 AS `/etc/passwd`
SELECT id FROM events WHERE id = ALL (SELECT 1) OR id > ANY (SELECT 2)
SELECT untuple((1, 'a')), tupleElement((1, 'a'), 1), ignore(*) FROM events
SELECT name FROM events LIMIT 1, 2 BY name
SELECT toTypeName(id), version(), currentDatabase(), throwIf(0), materialize(1), transform(1, [1], ['a'], 'b') \\
    FROM events
SELECT cityHash64(name), MD5(name), hex(name), UUIDStringToNum(toString(generateUUIDv4())), \\
    domain('http://a.b/c'), IPv4NumToString(1) FROM events
""".strip()


def queries(text: str) -> list[str]:
    """One query on each line; one that ends in a backslash goes on in the next."""
    text = text.replace("\\\n", "")
    return [line.strip() for line in text.strip().splitlines()]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        pytest.param(sql, message, id=f"{family}-{sql}")
        for family, (message, text) in REFUSED.items()
        for sql in queries(text)
    ],
)
def test_refused(embedded_engine: Engine, sql: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        embedded_engine.canonical(sql)
    assert refusal.value.attr == "query"
    assert str(refusal.value).startswith("Invalid HogQL query: ")
    assert re.search(message, str(refusal.value))


@pytest.mark.parametrize("sql", queries(ACCEPTED))
def test_accepted(embedded_engine: Engine, sql: str) -> None:
    canonical = embedded_engine.canonical(sql)
    assert embedded_engine.canonical(canonical) == canonical
    assert embedded_engine.describe(canonical)


def test_there_are_enough_examples() -> None:
    assert sum(len(queries(text)) for _, text in REFUSED.values()) > 200
    assert len(queries(ACCEPTED)) > 75


def test_no_table_function_but_the_harmless_ones_is_accepted(embedded_engine: Engine) -> None:
    from endpoints_pipeline.query.guard import TABLE_FUNCTIONS

    names = [str(row[0]) for row in embedded_engine.query("SELECT name FROM system.table_functions")]
    dangerous = [name for name in names if name.lower() not in TABLE_FUNCTIONS]
    assert len(dangerous) > 60
    for name in dangerous:
        arguments = "(SELECT 1)" if "view" in name.lower() else "('x', 'y')"
        for sql in (f"SELECT * FROM {name}{arguments}", f"SELECT 1 IN {name}('x', 'y')"):
            with pytest.raises(InvalidInput, match=r"not allowed|Syntax error"):
                embedded_engine.canonical(sql)
        embedded_engine.canonical(f"SELECT {name} FROM events")  # as a column's name it is nobody's business


def test_a_nul_byte_is_refused(embedded_engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="NUL byte"):
        embedded_engine.canonical("SELECT 1 \0; SELECT 2")


def test_half_a_surrogate_pair_is_refused(embedded_engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="valid Unicode"):
        embedded_engine.canonical("SELECT '\ud800'")


@pytest.mark.parametrize(
    ("opening", "closing"), [("abs(", ")"), ("(", ")"), ("[", "]"), ("-(", ")"), ("NOT ", ""), ("(SELECT ", ")")]
)
@pytest.mark.parametrize("depth", [300, 900, 20_000])
def test_deep_nesting_is_refused_or_goes_through(
    embedded_engine: Engine, opening: str, closing: str, depth: int
) -> None:
    try:
        embedded_engine.canonical(f"SELECT {opening * depth}1{closing * depth}")
    except InvalidInput:
        return
    assert depth == 300


@pytest.mark.parametrize(
    "text", ["\r\n\t", "\b\f\v\x1b\x7f", "\\", "\\n", "'", '"', "é漢😀", "\u2028", "{x:String} %s %(a)s $a$ ? :a"]
)
def test_texts_arrive_as_they_are(engine: Engine, text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    canonical = engine.canonical(f"SELECT '{escaped}' AS t, hex(t)")
    assert engine.query(canonical) == [(text, text.encode().hex().upper())]


def test_a_syntax_error_has_the_engines_words_and_code(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match=r"^Invalid HogQL query: Syntax error: failed at position 8 ") as refusal:
        engine.canonical("SELECT )")
    assert refusal.value.code == "SYNTAX_ERROR"
    assert "parseQueryToJSON" not in str(refusal.value)


def test_an_unknown_table_names_the_known_ones(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match=r"Unknown table 'evnts'\. Known tables: events, users") as refusal:
        engine.canonical("SELECT * FROM evnts")
    assert refusal.value.code == "UNKNOWN_TABLE"


def test_a_server_shows_the_databases_it_was_told_to(server_engine: Engine) -> None:
    for sql in ("SELECT * FROM events", "SELECT * FROM shop.events", "SELECT * FROM other.things"):
        assert server_engine.canonical(sql) == sql
    for sql in ("SELECT * FROM secret.things", "SELECT * FROM things", "SELECT * FROM system.one"):
        with pytest.raises(InvalidInput, match="Unknown table"):
            server_engine.canonical(sql)


class TestParameters:
    NAMES = ("var_s", "var_n", "var_l", "var_b")

    @pytest.mark.parametrize(
        "sql",
        queries(
            """
            SELECT {var_s:String} AS s, {var_n:UInt64} + 1 AS n, {var_b:Bool} AS b FROM events
            SELECT id FROM events WHERE name = {var_s:String} AND id IN {var_l:Array(UInt64)}
            SELECT id FROM events WHERE {var_s:Nullable(String)} IS NULL OR {var_b:Nullable(Bool)}
            SELECT id FROM events WHERE name LIKE {var_s:String} AND at >= {var_s:String} HAVING id > {var_n:Float64}
            SELECT id FROM events ORDER BY id LIMIT {var_n:UInt64} OFFSET {var_n:UInt64}
            SELECT name FROM events LIMIT {var_n:UInt64} BY name
            SELECT number FROM numbers({var_n:UInt64}, {var_n:UInt64})
            SELECT now() - INTERVAL {var_n:Int64} DAY AS t
            SELECT arrayMap(x -> x + {var_n:UInt64}, {var_l:Array(UInt64)}) AS a
            SELECT * FROM (SELECT id FROM events WHERE id = {var_n:UInt64}) AS t JOIN users ON t.id = {var_n:UInt64}
            WITH {var_s:String} AS s SELECT s FROM events
            SELECT * FROM values('a String, b UInt64', ({var_s:String}, {var_n:UInt64}))
            SELECT CAST({var_s:String} AS Date) AS d, {var_s:String}::Date AS e, if({var_b:Nullable(Bool)}, 1, 2) AS f
            SELECT sum(amount) OVER (PARTITION BY name ORDER BY id ROWS {var_n:UInt64} PRECEDING) AS s FROM events
            """
        ),
    )
    def test_values_are_accepted_wherever_the_engine_takes_them(self, engine: Engine, sql: str) -> None:
        guarded = engine.guard(sql, self.NAMES)
        assert engine.guard(guarded.sql, self.NAMES) == guarded

    @pytest.mark.parametrize(
        "sql",
        queries(
            """
            SELECT {other:String} AS x
            SELECT {VAR_S:String} AS x
            SELECT {var_s:Identifier} FROM events
            SELECT * FROM {var_s:Identifier}
            SELECT * FROM {var_s:Identifier}.one
            SELECT * FROM system.{var_s:Identifier}
            SELECT e.{var_s:Identifier} FROM events AS e
            SELECT 1 AS {var_s:String}
            SELECT * FROM events AS {var_s:String}
            SELECT id FROM events ORDER BY {var_s:Identifier}
            SELECT id FROM events GROUP BY {var_s:Identifier}
            SELECT 1 IN {var_s:Identifier}
            WITH {var_s:Identifier} AS (SELECT 1) SELECT 1
            SELECT {var_s:UInt8} AS x, {var_s:Date} AS y
            SELECT {var_l:Array(Array(String))} AS x
            SELECT {var_l:Map(String, String)} AS x
            SELECT {var_s:LowCardinality(String)} AS x
            SELECT * FROM values({var_s:String}, (1))
            SELECT * FROM values({var_s:String})
            SELECT * FROM file({var_s:String})
            SELECT * FROM url({var_s:String}, 'CSV')
            SELECT file({var_s:String}) AS x
            SELECT getSetting({var_s:String}) AS x
            SELECT dictGet({var_s:String}, 'x', 1) AS x
            SELECT joinGet({var_s:String}, 'x', 1) AS x
            SELECT 1 AS x SETTINGS max_threads = {var_n:UInt64}
            SELECT 1 AS x FORMAT {var_s:Identifier}
            SELECT 1 AS x INTO OUTFILE {var_s:String}
            SELECT * FROM (SELECT 1 AS x WHERE {other:String} = '')
            """
        ),
    )
    def test_names_and_unknown_ones_are_refused(self, engine: Engine, sql: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            engine.guard(sql, self.NAMES)
        assert refusal.value.attr == "query"

    def test_an_alias_can_not_be_one(self, engine: Engine) -> None:
        """The engine itself leaves such an alias out of the canonical text."""
        assert engine.guard("SELECT 1 AS {var_s:Identifier}", self.NAMES).sql == "SELECT 1"

    def test_none_are_accepted_where_none_are_expected(self, engine: Engine) -> None:
        for names in ((), ("var_t",)):
            with pytest.raises(InvalidInput, match=r"The parameter \{var_s\} is not allowed"):
                engine.guard("SELECT {var_s:String} AS s", names)


@pytest.mark.parametrize(
    ("sql", "is_union"),
    [
        ("SELECT 1", False),
        ("(SELECT 1)", False),
        ("SELECT * FROM (SELECT 1 UNION ALL SELECT 2)", False),
        ("WITH t AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM t", False),
        ("SELECT 'UNION ALL'", False),
        ("SELECT 1 UNION ALL SELECT 2", True),
        ("SELECT 1 UNION DISTINCT SELECT 2", True),
        ("(SELECT 1 UNION ALL SELECT 2)", True),
        ("((SELECT 1 UNION ALL SELECT 2))", True),
        ("(SELECT 1) UNION ALL (SELECT 2)", True),
        ("SELECT 1 INTERSECT SELECT 1", True),
        ("SELECT 1 EXCEPT SELECT 2", True),
    ],
)
def test_a_union_is_known_as_one(engine: Engine, sql: str, is_union: bool) -> None:
    assert engine.guard(sql).is_union == is_union
