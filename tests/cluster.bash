# A Slurm cluster of its own, for tests: a controller and two nodes of two slots each, all on this machine, in a folder; as
# root, since munge and slurmd want that. Nothing outside the folder is written, nothing is left running. Wants cli.bash.

cluster_missing() { # why there can be none; empty: there can
  local name
  for name in slurmctld slurmd munged sbatch squeue scontrol scancel sinfo; do
    command -v "$name" >/dev/null || { echo "$name is not installed (slurmctld slurmd slurm-client munge)"; return; }
  done
  [ "$(id -u)" -eq 0 ] || echo "a cluster of one's own needs root"
}

cluster_ready() {
  [ "$(sinfo -hN -p main -o %t 2>/dev/null | grep -c idle)" -eq 2 ]
}

cluster_answers() {
  scontrol ping 2>/dev/null | grep -q UP
}

# As the notes of docs/slurm.md's tests: no accounting, no cgroups, short waits, and long ones where a busy machine
# would be taken for a node that is gone. cred_expire is also how long a task that is
# queued again waits.
cluster_configure() { # FOLDER
  local host node
  host=$(hostname -s)
  mkdir -p -m 755 "$1/munge" "$1/state" "$1/spool/n1" "$1/spool/n2"
  head -c 128 /dev/urandom >"$1/munge/key"
  chmod 400 "$1/munge/key"
  cat >"$1/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((20000 + $$ % 4000 * 3))
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$1/munge/socket,cred_expire=6
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool/%n
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.%n.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
ReturnToService=2
SlurmdTimeout=300
MessageTimeout=60
BatchStartTimeout=120
UnkillableStepTimeout=180
KillWait=2
SlurmdParameters=config_overrides
PartitionName=main Nodes=ALL Default=YES
END
  for node in 1 2; do
    echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((20000 + $$ % 4000 * 3 + node)) CPUs=2"
  done >>"$1/slurm.conf"
}

cluster_up() { # FOLDER, an absolute one with a short name
  export SLURM_CONF="$1/slurm.conf" cluster="$1"
  cluster_configure "$1"
  munged -F --key-file="$1/munge/key" --socket="$1/munge/socket" --pid-file="$1/munge/pid" --seed-file="$1/munge/seed" \
    --log-file="$1/munge/log" >"$1/munge/out" 2>&1 3>&- &
  echo $! >"$1/pids"
  wait_for test -S "$1/munge/socket" || return 1
  slurmctld -D -i -f "$SLURM_CONF" >"$1/ctld.out" 2>&1 3>&- &
  echo $! >>"$1/pids"
  wait_for cluster_answers || return 1
  for node in n1 n2; do
    slurmd -D -N $node -f "$SLURM_CONF" >"$1/$node.out" 2>&1 3>&- &
    echo $! >>"$1/pids"
  done
  wait_for cluster_ready
}

cluster_empty() {
  [ -z "$(squeue -h 2>/dev/null)" ]
}

cluster_down() {
  local pid pids
  [ -n "${cluster:-}" ] || return 0
  scancel -u root 2>/dev/null
  wait_for cluster_empty
  pids=$(tac "$cluster/pids")
  for pid in $pids; do
    kill "$pid" 2>/dev/null
    wait_for eval "! kill -0 $pid 2>/dev/null" || kill -9 "$pid"
  done
  rm -rf "$cluster"
}
