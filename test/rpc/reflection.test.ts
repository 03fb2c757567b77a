import { create, createFileRegistry, fromBinary, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponseSchema,
} from '#gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as ServerReflectionAlpha } from '#gen/grpc/reflection/v1alpha/reflection_pb.js';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { TRANSPORTS } from '#test/support/transports.ts';

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

type Question = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest']>;
type Answer = MessageShape<typeof ServerReflectionResponseSchema>;

const VERSIONS = [
  ['v1', ServerReflection],
  // What differs is the package's name.
  ['v1alpha', ServerReflectionAlpha as unknown as typeof ServerReflection],
] as const;

describe.each(VERSIONS)('server reflection %s', (_, version) => {
  describe.each(['gRPC over HTTP/2', 'Connect over HTTP/2', 'gRPC-Web over HTTP/2'] as const)(
    'through %s',
    transport => {
      async function ask(...questions: Question[]): Promise<Answer[]> {
        const client = createClient(version, TRANSPORTS[transport](service.url, {}));
        async function* requests() {
          for (const messageRequest of questions) yield { host: 'example.com', messageRequest };
        }
        const answers: Answer[] = [];
        for await (const answer of client.serverReflectionInfo(requests())) answers.push(answer);
        return answers;
      }
      async function filesFor(question: Question): Promise<FileDescriptorProto[]> {
        const [answer] = await ask(question);
        if (answer?.messageResponse.case !== 'fileDescriptorResponse') throw new Error(JSON.stringify(answer));
        return answer.messageResponse.value.fileDescriptorProto.map(bytes =>
          fromBinary(FileDescriptorProtoSchema, bytes),
        );
      }

      it('lists the services, its own two with them', async () => {
        const [answer] = await ask({ case: 'listServices', value: '' });
        expect(answer?.messageResponse).toMatchObject({
          case: 'listServicesResponse',
          value: {
            service: [
              { name: 'blog.v1.PostService' },
              { name: 'grpc.health.v1.Health' },
              { name: 'grpc.reflection.v1.ServerReflection' },
              { name: 'grpc.reflection.v1alpha.ServerReflection' },
            ],
          },
        });
      });

      it('says which question it answers, and to whom', async () => {
        const messageRequest = { case: 'fileByFilename', value: 'blog/v1/post.proto' } as const;
        const [answer] = await ask(messageRequest);
        expect(answer).toMatchObject({
          validHost: 'example.com',
          originalRequest: { host: 'example.com', messageRequest },
        });
      });

      it.each(['blog/v1/post.proto', 'blog/v1/post_service.proto', 'google/protobuf/timestamp.proto'])(
        'gives the file %s first, and all that it imports, each once',
        async name => {
          const files = await filesFor({ case: 'fileByFilename', value: name });
          const names = files.map(file => file.name);
          expect(names[0]).toBe(name);
          expect(new Set(names).size).toBe(names.length);
          for (const file of files) for (const dependency of file.dependency) expect(names).toContain(dependency);
        },
      );

      it.each([
        ['blog.v1.PostService', 'blog/v1/post_service.proto'],
        ['blog.v1.PostService.GetPost', 'blog/v1/post_service.proto'],
        ['blog.v1.GetPostRequest', 'blog/v1/post_service.proto'],
        ['blog.v1.GetPostRequest.slug', 'blog/v1/post_service.proto'],
        ['blog.v1.GetPostRequest.key', 'blog/v1/post_service.proto'],
        ['blog.v1.Post', 'blog/v1/post.proto'],
        ['blog.v1.PostView', 'blog/v1/post.proto'],
        ['blog.v1.POST_VIEW_FULL', 'blog/v1/post.proto'],
        ['grpc.health.v1.Health.Watch', 'grpc/health/v1/health.proto'],
        ['grpc.health.v1.HealthCheckResponse.ServingStatus', 'grpc/health/v1/health.proto'],
        ['grpc.health.v1.HealthCheckResponse.NOT_SERVING', 'grpc/health/v1/health.proto'],
        ['grpc.reflection.v1.ServerReflection', 'grpc/reflection/v1/reflection.proto'],
        ['grpc.reflection.v1.ServerReflection.ServerReflectionInfo', 'grpc/reflection/v1/reflection.proto'],
        ['grpc.reflection.v1.ServerReflectionRequest.list_services', 'grpc/reflection/v1/reflection.proto'],
        ['grpc.reflection.v1alpha.ServerReflection', 'grpc/reflection/v1alpha/reflection.proto'],
        ['grpc.reflection.v1alpha.ServerReflectionResponse', 'grpc/reflection/v1alpha/reflection.proto'],
        ['buf.validate.field', 'buf/validate/validate.proto'],
        ['google.rpc.ErrorInfo', 'google/rpc/error_details.proto'],
        ['google.protobuf.FieldMask', 'google/protobuf/field_mask.proto'],
      ])('finds the file that declares %s', async (symbol, name) => {
        const files = await filesFor({ case: 'fileContainingSymbol', value: symbol });
        expect(files[0]?.name).toBe(name);
      });

      it('finds the file that declares an extension, by its number', async () => {
        const value = { containingType: 'google.protobuf.FieldOptions', extensionNumber: 1159 };
        const files = await filesFor({ case: 'fileContainingExtension', value });
        expect(files[0]?.name).toBe('buf/validate/validate.proto');
      });

      it('lists the numbers of the extensions of a message', async () => {
        const [answer] = await ask({ case: 'allExtensionNumbersOfType', value: 'google.protobuf.FieldOptions' });
        expect(answer?.messageResponse).toMatchObject({
          case: 'allExtensionNumbersResponse',
          value: { baseTypeName: 'google.protobuf.FieldOptions', extensionNumber: expect.arrayContaining([1159]) },
        });
      });

      const unknown: Question[] = [
        { case: 'fileByFilename', value: 'blog/v1/nonsense.proto' },
        { case: 'fileByFilename', value: '../../etc/passwd' },
        { case: 'fileContainingSymbol', value: 'blog.v1.Nonsense' },
        { case: 'fileContainingSymbol', value: 'blog.v1.PostService.Nonsense' },
        { case: 'fileContainingSymbol', value: 'blog.v1.PostView.POST_VIEW_FULL' },
        { case: 'fileContainingSymbol', value: 'blog.v1' },
        { case: 'fileContainingSymbol', value: '' },
        {
          case: 'fileContainingExtension',
          value: { containingType: 'google.protobuf.FieldOptions', extensionNumber: 1 },
        },
        { case: 'fileContainingExtension', value: { containingType: 'blog.v1.Nonsense', extensionNumber: 1159 } },
        { case: 'allExtensionNumbersOfType', value: 'blog.v1.Nonsense' },
      ];
      it('answers NOT_FOUND to each question for what is not there, and goes on', async () => {
        const answers = await ask(...unknown, { case: 'listServices', value: '' });
        for (const answer of answers.slice(0, -1)) {
          expect(answer.messageResponse).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } });
        }
        expect(answers).toHaveLength(unknown.length + 1);
        expect(answers.at(-1)?.messageResponse.case).toBe('listServicesResponse');
      });

      it('answers INVALID_ARGUMENT to a question that asks for nothing', async () => {
        const [answer] = await ask({ case: undefined } as Question);
        expect(answer?.messageResponse).toMatchObject({ case: 'errorResponse', value: { errorCode: 3 } });
      });

      it('gives what a client needs to build the service', async () => {
        const file = await filesFor({ case: 'fileContainingSymbol', value: 'blog.v1.PostService' });
        const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.toReversed() }));
        const methods = registry.getService('blog.v1.PostService')?.methods.map(method => method.name);
        expect(methods).toEqual(PostService.methods.map(method => method.name));
      });
    },
  );
});
