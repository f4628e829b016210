"""nginx as a bare reverse proxy: the unit all others are told in. It passes calls on and does nothing else."""

from typing import ClassVar

from bench.calls import plain_targets
from bench.gateways.base import Gateway, Launch, Place
from bench.processes import find, run

_CONFIGURATION = """\
daemon off; worker_processes 1; pid nginx.pid; error_log error.log; worker_rlimit_nofile 20000;
events {{ worker_connections 9000; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_buffer_size 64k; client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream mock {{ server 127.0.0.1:{mock_port}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


class Nginx(Gateway):
    name: ClassVar[str] = "nginx"
    in_flight_levels: ClassVar[tuple[int, ...]] = (2000, 4000)
    warm_up_s: ClassVar[int] = 1

    def missing(self) -> str | None:
        return None if find("nginx") else "nginx is not installed (tools/install_bench_tools.sh installs it)"

    def version(self) -> str:
        return run([find("nginx") or "nginx", "-v"], timeout_s=10).strip().rpartition("/")[2]

    def launch(self, place: Place) -> Launch:
        configuration = place.folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(port=place.port, mock_port=place.mock_port))
        command = [
            *(find("nginx") or "nginx", "-p", f"{place.folder}/"),
            *("-c", str(configuration), "-e", str(place.folder / "error.log")),
        ]
        return Launch(command=command, targets=plain_targets(place.port))
