"""What stands in PostgreSQL's pages as a row, living or dead: read with `pageinspect`, past every rule of visibility."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import psycopg

RELATIONS = """
    SELECT relation.oid::regclass::text FROM pg_class relation
    LEFT JOIN pg_class owner ON owner.reltoastrelid = relation.oid
    WHERE relation.relkind IN ('r', 't') AND coalesce(owner.relnamespace, relation.relnamespace) = 'public'::regnamespace
"""
ROWS = """
    SELECT item.t_data
    FROM generate_series(0, pg_relation_size(%(relation)s::regclass) / current_setting('block_size')::int - 1) AS page,
         heap_page_items(get_raw_page(%(relation)s::text, page::bigint)) AS item
    WHERE item.t_data IS NOT NULL
"""


def rows(url: str) -> Iterator[tuple[str, bytes]]:
    """Every row, living or dead, of every table of ours and of what stands beside it (TOAST), with its table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pageinspect")
        for (relation,) in connection.execute(RELATIONS).fetchall():
            for (data,) in connection.execute(ROWS, {"relation": relation}):
                yield relation, data


def rows_with(url: str, pieces: Iterable[bytes]) -> list[str]:
    """The tables of the rows, living or dead, in which one of `pieces` stands."""
    wanted = list(pieces)
    return [relation for relation, data in rows(url) if any(piece in data for piece in wanted)]
