-- A line of ours under the names of the Elastic Common Schema; what has none of these stands below pncp.
local names = {
    container_id = "container.id",
    container_name = "container.name",
    error = "error.message",
    event = "message",
    exception = "error.stack_trace",
    level = "log.level",
    log = "message",
    logger = "log.logger",
    method = "http.request.method",
    path = "url.path",
    peer = "source.ip",
    request_id = "http.request.id",
    source = "stream",
    user = "user.name",
    worker_id = "service.node.name",
}

function to_ecs(tag, time, record)
    local document = { ["ecs.version"] = "9.2.0", ["event.dataset"] = "pncp" }
    local own = {}
    for name, value in pairs(record) do
        if names[name] then
            document[names[name]] = value
        else
            own[name] = value
        end
    end
    if next(own) then
        document.pncp = own
    end
    if document["container.name"] then
        -- Docker's names begin with a slash: /pncp-ingestor-2
        document["container.name"] = document["container.name"]:gsub("^/", "")
        document["service.name"] = document["container.name"]:gsub("^pncp%-", ""):gsub("%-%d+$", "")
    end
    return 2, time, document
end
