"""redis-py, one node and cluster: what an application sees while nodes come and go.

    redis_py.py PLAIN CLUSTER,CLUSTER,...       addresses, host:port

It says "ready" once everyday commands have been tried, and then works until its input ends. Every answer has to be right, and
no error is caught.
"""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import redis
from redis.cluster import ClusterNode, RedisCluster

KEYS = 50
# No other run has these keys.
PREFIX = f"redis-py:{os.getpid()}"


def everyday(client, prefix):
    """Commands that any application uses."""
    key = prefix + ":{everyday}:"
    assert client.set(key + "text", "hello", ex=100) is True
    assert client.get(key + "text") == "hello"
    assert 0 < client.ttl(key + "text") <= 100
    assert client.set(key + "text", "again", nx=True) is None
    assert client.append(key + "text", "!") == 6
    assert client.incrby(key + "number", 41) == 41
    assert client.incr(key + "number") == 42
    assert client.mset({key + "a": "1", key + "b": "2"}) is True
    assert client.mget(key + "a", key + "b", key + "c") == ["1", "2", None]
    assert client.exists(key + "a", key + "c") == 1
    assert client.delete(key + "a", key + "b") == 2
    assert client.get(key + "a") is None
    try:
        client.incr(key + "text")
    except redis.ResponseError as error:
        assert "not an integer" in str(error)
    else:
        raise AssertionError("a text was counted")


def transaction(client, prefix):
    """Adds one, on condition that nobody has written since."""
    key = prefix + ":{transaction}"
    client.set(key, 1)
    with client.pipeline() as pipe:
        pipe.watch(key)
        value = int(pipe.get(key))
        pipe.multi()
        pipe.set(key, value + 1)
        pipe.get(key)
        assert pipe.execute() == [True, "2"]


def work(client, prefix, done):
    """Writes, reads and counts until told to stop."""
    rounds = 0
    while rounds == 0 or not done.is_set():
        rounds += 1
        for n in range(KEYS):
            assert client.set(f"{prefix}:{n}", f"{n}-{rounds}") is True
            assert client.get(f"{prefix}:{n}") == f"{n}-{rounds}"
            assert client.incr(f"{prefix}:count:{n}") == rounds
        with client.pipeline(transaction=False) as pipe:
            for n in range(KEYS):
                pipe.get(f"{prefix}:{n}")
            assert pipe.execute() == [f"{n}-{rounds}" for n in range(KEYS)]
    return rounds * KEYS * 4


def plain(address, done, ready):
    host, port = address.split(":")
    with redis.Redis(host=host, port=int(port), decode_responses=True) as client:
        assert client.ping() is True
        everyday(client, PREFIX)
        transaction(client, PREFIX)
        ready.wait()
        return work(client, PREFIX, done)


def cluster(addresses, done, ready):
    nodes = [ClusterNode(host, int(port)) for host, port in (address.split(":") for address in addresses)]
    with RedisCluster(startup_nodes=nodes, decode_responses=True) as client:
        everyday(client, PREFIX + ":cluster")
        ready.wait()
        return work(client, PREFIX + ":cluster", done)


def main():
    done, ready = threading.Event(), threading.Barrier(3)
    with ThreadPoolExecutor() as pool:
        jobs = [
            pool.submit(plain, sys.argv[1], done, ready),
            pool.submit(cluster, sys.argv[2].split(","), done, ready),
        ]
        try:
            for job in jobs:
                job.add_done_callback(lambda job: job.exception() and ready.abort())
            ready.wait()
            print("ready", flush=True)
            sys.stdin.read()
        finally:
            done.set()
            operations = sum(job.result() for job in jobs)
    print(f"{operations} operations")


main()
