# Limits for block devices and of the real-time scheduler, --gpus, --storage-opt, --isolation, --platform.
for f in "--device-read-bps /dev/nosuch" "--device-read-bps loop0:1mb" "--device-read-bps /dev/null:x" \
    "--device-write-iops /dev/null:-1" "--device-write-iops loop0:1" "--blkio-weight-device /dev/null:5" \
    "--blkio-weight-device /dev/null" "--blkio-weight-device /dev/null:100" "--blkio-weight 100" \
    "--cpu-rt-runtime 1000 --cpu-rt-period 500" "--storage-opt size=1G" "--storage-opt size" \
    "--storage-opt foo=1" "--gpus x" "--gpus count=1,count=2" "--gpus foo=1" "--isolation x" \
    "--isolation default" "--runtime foo" "--platform foo" "--cpu-count 1" "--io-maxiops 1" \
    "--cpuset-cpus x" "--log-driver foo" "--kernel-memory 10m" \
    "--security-opt no-new-privileges=foo" "--security-opt systempaths=foo" \
    "-v /x:" "-v /tmp:/x:nocopy" "-v /tmp:/x:shared" "-v /tmp:/x:rslave" \
    "--mount type=bind,src=/tmp,dst=/x,bind-recursive=readonly" "--volumes-from nosuch:bar" "--ip foo"; do
    c create $f busybox true
done
for f in "--cpu-shares -5" "--tmpfs /x:foo" "--tmpfs /x:size=1m,foo=2"; do
    c run --rm $f busybox true
done
c create --name x2 --device-read-bps /dev/null:1mb --device-write-iops /dev/null:100 --blkio-weight 100 busybox true
c inspect -f '{{json .HostConfig.BlkioDeviceReadBps}} {{json .HostConfig.BlkioDeviceWriteIOps}} {{json .HostConfig.BlkioWeight}}' x2
c run -d --name x3 --gpus all busybox true
c inspect -f '{{json .HostConfig.DeviceRequests}} {{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' x3
c create --gpus '"device=1,2",capabilities=utility' --name x4 busybox true
c inspect -f '{{json .HostConfig.DeviceRequests}}' x4
c create --name x5 --cpu-rt-period 1000000 --cap-add net_admin --cap-drop CAP_MKNOD --pid host busybox true
c inspect -f '{{.HostConfig.CpuRealtimePeriod}} {{.HostConfig.CapAdd}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}' x5
c run --rm busybox ""
