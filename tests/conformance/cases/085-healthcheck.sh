# --health-cmd shows in ps and inspect.
q run -d --name good --health-cmd true --health-interval 1s busybox sleep 100
until_ok sh -c '[ "$("$CLI" inspect -f "{{.State.Health.Status}}" good)" = healthy ]'
s '$CLI ps --filter name=good --format "{{.Status}}" | grep -o "(.*)"'
q run -d --name bad --health-cmd false --health-interval 1s --health-retries 1 busybox sleep 100
until_ok sh -c '[ "$("$CLI" inspect -f "{{.State.Health.Status}}" bad)" = unhealthy ]'
c inspect -f '{{.State.Health.Status}}' bad
c ps --filter health=unhealthy --format '{{.Names}}'
q run -d --name off --no-healthcheck busybox sleep 100
c inspect -f '{{json .Config.Healthcheck}}' off
