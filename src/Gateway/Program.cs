return Gateway.Daemon.DaemonProgram.Run(args);
