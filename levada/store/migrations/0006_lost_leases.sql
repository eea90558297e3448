-- A lease that ran out is marked (`lease = 'lost'`) until its WorkerLost is sent: few rows, and only for a moment.
CREATE INDEX task_run_lost ON task_run (lease_until) WHERE lease = 'lost';
