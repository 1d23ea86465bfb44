// An application in /srv/shop (main.py with app) with its virtual environment in /srv/shop/venv.
//
// pm2 stops with INT, which is a stop at once: start its daemon with PM2_KILL_SIGNAL=SIGTERM, so that
// requests are finished. `pm2 sendSignal SIGHUP shop` takes over new code and loses nothing; `pm2 reload` is
// a restart for what is not Node. See docs/process-managers.md.
module.exports = {
  apps: [
    {
      name: "shop",
      cwd: "/srv/shop",
      script: "/srv/shop/venv/bin/aserve",
      args: "--bind 127.0.0.1:8000 --workers 2 --access-logfile - main:app",
      interpreter: "none",
      // Workers are aserve's business.
      exec_mode: "fork",
      instances: 1,
      // The signal is for aserve's supervisor, which tells its workers.
      treekill: false,
      // Milliseconds until KILL: more than aserve's --graceful-timeout and what it needs for its own end.
      kill_timeout: 40000,
      // An option that is wrong, and code that cannot be loaded, stay so.
      stop_exit_codes: [0, 2, 4],
      // Others are tried again, if need be five times, when the state is "errored".
      max_restarts: 5,
      min_uptime: 5000,
      out_file: "/var/log/shop/access.log",
      error_file: "/var/log/shop/error.log",
      // As they are called here, without the instance's number.
      merge_logs: true,
    },
  ],
};
