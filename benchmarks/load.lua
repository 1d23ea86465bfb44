-- Load script for wrk: an optional method and body, and a result that a program can read.
-- wrk -s load.lua URL -- [METHOD BODYFILE]

function init(args)
  if args[1] then
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
