# The debian image.
c run --rm debian sh -c 'cat /etc/debian_version | cut -d . -f 1; whoami; id -gn'
c run --rm debian bash -c 'echo $BASH_VERSION | cut -d . -f 1'
q run --name deb debian sh -c 'useradd -m someone; rm -rf /usr/share/doc; echo x >/etc/motd'
q commit deb deb2
c run --rm -u someone -w /home/someone deb2 sh -c 'id -un; pwd; ls /usr/share | grep -c "^doc$"'
