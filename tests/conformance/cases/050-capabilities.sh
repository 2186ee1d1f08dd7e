# The default set, --cap-add, --cap-drop, --privileged.
c run --rm busybox grep CapEff /proc/self/status
c run --rm --cap-drop ALL busybox grep CapEff /proc/self/status
c run --rm --cap-drop ALL --cap-add NET_BIND_SERVICE busybox grep CapEff /proc/self/status
c run --rm --cap-add SYS_TIME busybox grep CapEff /proc/self/status
c run --rm --cap-add cap_net_admin --cap-drop chown busybox grep CapEff /proc/self/status
c run --rm -u nobody busybox grep -E 'Cap(Eff|Bnd|Amb)' /proc/self/status
c run --rm --cap-add NONSENSE busybox true
c run --rm --cap-drop NONSENSE busybox true
c run --rm --cap-drop CHOWN busybox chown nobody /tmp
