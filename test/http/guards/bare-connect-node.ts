import { createServer } from 'node:http';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { HealthService } from '#src/rpc/health.ts';

// A server as connect-node's documentation shows it, with nothing in front. Run as a process of its own: prints its port.
const server = createServer(connectNodeAdapter({ routes: router => router.service(Health, new HealthService([])) }));
server.listen(0, '127.0.0.1', () => console.log((server.address() as { port: number }).port));
