#!/bin/sh
# apt-install.sh PACKAGE...: installs Debian or Ubuntu packages without starting or enabling the services they bring.
#
# certsync's tests start servers of their own. A machine on which somebody typed `make test` should not be left with
# a PostgreSQL cluster or an SSH server on port 22. Needs root.
set -eu

if [ "$(id -u)" -ne 0 ]; then
  echo "apt-install.sh has to run as root, for example: sudo sh $0 $*" >&2
  exit 1
fi

# invoke-rc.d and deb-systemd-invoke ask this program; 101 means "don't". One that exists already is left as it is.
policy=/usr/sbin/policy-rc.d
# pg_createcluster(1) reads this directory, whether or not postgresql-common is installed yet.
cluster_dir=/etc/postgresql-common/createcluster.d
cluster_conf=$cluster_dir/certsync-setup.conf

restore() {
  if [ -n "${made_policy:-}" ]; then rm -f "$policy"; fi
  rm -f "$cluster_conf"
  rmdir "$cluster_dir" 2>/dev/null || true
}
trap restore EXIT
trap 'exit 130' HUP INT TERM

if [ ! -e "$policy" ]; then
  made_policy=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
mkdir -p "$cluster_dir"
echo "create_main_cluster = false" >"$cluster_conf"

export DEBIAN_FRONTEND=noninteractive
export NEEDRESTART_SUSPEND=1 # Ubuntu's needrestart would restart unrelated services

install_packages() {
  apt-get install -y -q --no-install-recommends --no-remove -o DPkg::Lock::Timeout=120 "$@"
}
# The lists of a new machine are empty and those of an old one name versions that are gone.
install_packages "$@" || { apt-get update -q && install_packages "$@"; }

# Its post-installation script enabled it for the next boot: Debian the service, Ubuntu the socket.
case " $* " in
  *" openssh-server "*)
    if command -v systemctl >/dev/null; then systemctl disable ssh.service ssh.socket || true; fi
    ;;
esac
