"""An ingestor's metrics over the network, and what a port that cannot be had does to its work."""

import signal

import httpx

from tests.acceptance.conftest import Stack, free_port


async def test_an_ingestor_tells_its_metrics_and_a_second_one_works_without_the_port(stack: Stack) -> None:
    await stack.start_simulator("--days", "2", "--per-day", "10")
    await stack.start_backend()
    port = free_port()
    first = await stack.start_ingestor(METRICS_PORT=str(port))
    start, end = await stack.span()
    execution_id = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    done = await stack.finished(execution_id)

    async with httpx.AsyncClient(trust_env=False) as client:
        told = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    assert f"pncp_ingestor_records_processed_total {done['records_processed']}.0" in told
    assert "pncp_ingestor_held_slices 0.0" in told

    second = await stack.start_ingestor(METRICS_PORT=str(port))
    assert "metrics are not served yet: the port is busy" in second.text
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    again = await stack.force(mode="backfill", data_ini=start, data_fim=end)
    assert (await stack.finished(again))["status"] == "success"
    second.send(signal.SIGTERM)
    assert await second.ended() == 0


async def test_an_address_of_another_machine_refuses_the_start_in_one_line(stack: Stack) -> None:
    ingestor = stack.start("ingestor", "-m", "ingestor", METRICS_HOST="203.0.113.1", METRICS_PORT="9464")
    assert await ingestor.ended() == 1
    assert "worker started" not in ingestor.text
    said = ingestor.text.strip().splitlines()[-1]
    assert said.startswith("ingestor: METRICS_HOST, METRICS_PORT: cannot listen on 203.0.113.1, port 9464")
    assert "Traceback" not in ingestor.text
