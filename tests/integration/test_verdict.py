"""The verdict: it says the same in the API, the dashboard and the metrics, in each state of the mirror."""

import httpx


async def test_the_dashboard_holds_the_same_verdict_in_the_language_that_is_asked_for(api: httpx.AsyncClient) -> None:
    for language, title in (("pt-BR", "Nenhum ingestor ativo"), ("en", "No ingestor is running")):
        answer = await api.get("/sync/verdict", headers={"Accept-Language": language})
        assert answer.headers["Content-Language"] == language
        assert answer.headers["Vary"] == "Accept-Language"
        verdict = answer.json()
        assert (verdict["state"], verdict["title"], verdict["language"]) == ("problem", title, language)
        assert [fact["fact"] for fact in verdict["facts"]] == ["fresh", "complete", "healthy"]
        found = await api.get("/sync/dashboard", headers={"Accept-Language": language})
        assert found.json()["verdict"] == verdict
