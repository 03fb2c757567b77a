import {
  createRegistry,
  type DescFile,
  type DescMessage,
  type MessageInitShape,
  type Registry,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code, type ConnectRouter } from '@connectrpc/connect';
import { file_google_rpc_error_details } from '#gen/google/rpc/error_details_pb.js';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from '#gen/grpc/reflection/v1/reflection_pb.js';
import {
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as ServerReflectionRequestAlpha,
} from '#gen/grpc/reflection/v1alpha/reflection_pb.js';

/**
 * Server reflection, v1 and v1alpha, so that tools can call the server without a schema. It lists itself too, as grpc-go and grpc-java do.
 *
 * Protocol: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 *
 * @param files those of the other services; their imports are added.
 */
export function reflection(router: ConnectRouter, files: readonly DescFile[]): void {
  const answer = createAnswer([...files, ServerReflection.file, ServerReflectionAlpha.file]);
  async function* serverReflectionInfo(
    requests: AsyncIterable<ServerReflectionRequest | ServerReflectionRequestAlpha>,
  ): AsyncGenerator<MessageInitShape<typeof ServerReflectionResponseSchema>> {
    for await (const request of requests) yield answer(request);
  }
  router.service(ServerReflection, { serverReflectionInfo });
  // The two versions differ only in the package's name, so a message of one initializes the other.
  router.service(ServerReflectionAlpha, { serverReflectionInfo: serverReflectionInfo as never });
}

/** Answers one request of either version. Errors are part of the answer, and do not end the stream. */
function createAnswer(roots: readonly DescFile[]) {
  // Includes the details of errors, so that tools can print them.
  const files = withImports([...roots, file_google_rpc_error_details]);
  const registry = createRegistry(...files.values());
  const symbols = filesBySymbol(registry);
  const services = roots.flatMap(file => file.services.map(service => ({ name: service.typeName })));

  return (request: Request): MessageInitShape<typeof ServerReflectionResponseSchema> => {
    const { messageRequest } = request;
    const reply = (file: DescFile | undefined, what: string) =>
      file === undefined
        ? notFound(what)
        : ({ case: 'fileDescriptorResponse', value: { fileDescriptorProto: encode(file, files) } } as const);
    const answerTo = () => {
      switch (messageRequest.case) {
        case 'listServices':
          return { case: 'listServicesResponse', value: { service: services } } as const;
        case 'fileByFilename':
          return reply(files.get(messageRequest.value), `file '${messageRequest.value}'`);
        case 'fileContainingSymbol':
          return reply(symbols.get(messageRequest.value), `symbol '${messageRequest.value}'`);
        case 'fileContainingExtension': {
          const { containingType, extensionNumber } = messageRequest.value;
          const message = registry.getMessage(containingType);
          const extension = message && registry.getExtensionFor(message, extensionNumber);
          return reply(extension?.file, `extension ${extensionNumber} of '${containingType}'`);
        }
        case 'allExtensionNumbersOfType': {
          const message = registry.getMessage(messageRequest.value);
          if (message === undefined) return notFound(`message '${messageRequest.value}'`);
          const value = { baseTypeName: message.typeName, extensionNumber: extensionNumbers(registry, message) };
          return { case: 'allExtensionNumbersResponse', value } as const;
        }
        default:
          return failure(Code.InvalidArgument, 'the request asks for nothing that is known here');
      }
    };
    return {
      validHost: request.host,
      originalRequest: request as ServerReflectionRequest,
      messageResponse: answerTo(),
    };
  };
}

/** The files and all that they import, by name. */
function withImports(roots: readonly DescFile[]): Map<string, DescFile> {
  const files = new Map<string, DescFile>();
  const add = (file: DescFile): void => {
    if (files.has(file.proto.name)) return;
    for (const dependency of file.dependencies) add(dependency);
    files.set(file.proto.name, file);
  };
  for (const file of roots) add(file);
  return files;
}

/** The file with its imports, which saves clients a request for each import. */
function encode(file: DescFile, files: ReadonlyMap<string, DescFile>): Uint8Array[] {
  const wanted = withImports([files.get(file.proto.name) ?? file]);
  return [...wanted.values()].reverse().map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
}

/** Every name that a file declares, including fields and enum values, with that file. */
function filesBySymbol(registry: Registry): Map<string, DescFile> {
  const symbols = new Map<string, DescFile>();
  for (const type of registry) {
    symbols.set(type.typeName, type.file);
    for (const { name } of membersOf(type)) symbols.set(`${scopeOf(type)}${name}`, type.file);
  }
  return symbols;
}

function membersOf(type: RegistryType): readonly { readonly name: string }[] {
  switch (type.kind) {
    case 'message':
      return [...type.fields, ...type.oneofs];
    case 'enum':
      return type.values;
    case 'service':
      return type.methods;
    case 'extension':
      return [];
  }
}

/** The prefix of the names of a type's members. Enum values are siblings of their enum, not children. */
function scopeOf(type: RegistryType): string {
  const scope = type.kind === 'enum' ? (type.parent?.typeName ?? type.file.proto.package) : type.typeName;
  return scope === '' ? '' : `${scope}.`;
}

function extensionNumbers(registry: Registry, message: DescMessage): number[] {
  return [...registry]
    .filter(type => type.kind === 'extension')
    .filter(extension => extension.extendee.typeName === message.typeName)
    .map(extension => extension.number);
}

function notFound(what: string) {
  return failure(Code.NotFound, `no ${what}`);
}

function failure(errorCode: Code, errorMessage: string) {
  return { case: 'errorResponse', value: { errorCode, errorMessage } } as const;
}

type RegistryType = Registry extends Iterable<infer Type> ? Type : never;
type Request = ServerReflectionRequest | ServerReflectionRequestAlpha;
