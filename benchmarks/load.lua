-- Load script for wrk: an optional method and body, or another URL each time, and a result that a program can read.
-- wrk -s load.lua URL -- [METHOD BODYFILE | varied]

-- Fields such as a client of an API sends with each request.
local fields = {
  ["Accept"] = "application/json",
  ["Accept-Encoding"] = "gzip, deflate, br",
  ["Authorization"] = "Bearer 7d1f0c52a9e84b6f93d05c1e8a7b42f6c0de91ab35f7",
  ["User-Agent"] = "orders-service/4.2 python-requests/2.32",
  ["X-Client-Version"] = "4.2.0",
}

function init(args)
  if args[1] == "varied" then
    local number, path = 0, wrk.path
    request = function()
      number = number + 1
      return wrk.format(nil, path .. "?number=" .. number, fields)
    end
  elseif args[1] then
    wrk.method = args[1]
    local file = assert(io.open(args[2], "rb"))
    wrk.body = file:read("*a")
    file:close()
  end
end

function done(summary, latency, requests)
  local figures = {
    requests = summary.requests,
    bytes = summary.bytes,
    duration_us = summary.duration,
    p50_us = latency:percentile(50.0),
    p99_us = latency:percentile(99.0),
    errors_connect = summary.errors.connect,
    errors_read = summary.errors.read,
    errors_write = summary.errors.write,
    errors_status = summary.errors.status,
    errors_timeout = summary.errors.timeout,
  }
  for name, value in pairs(figures) do
    print(string.format("figure %s %.0f", name, value))
  end
end
