/* The only C++ of the project, because the library has no other interface (OpenCV 4: opencv2/dnn/dnn.hpp). */
#include "detect/cnn/opencv.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/dnn.hpp>
#include <string>
#include <vector>

struct opencv_net {
    cv::dnn::Net net;
    std::string layer;
};

namespace
{

/* One line, whatever the library put in. */
void tell(char *why, size_t size, const char *text)
{
    size_t n = 0;
    for (; text && *text && *text != '\n' && n + 1 < size; text++) why[n++] = (unsigned char)*text < 0x20 ? ' ' : *text;
    why[n] = 0;
}

/* Inside a catch block: what was caught, as an error code and one line. */
int caught(char *why, size_t size)
{
    try {
        throw;
    } catch (const std::bad_alloc &) {
        tell(why, size, "out of memory");
        return -ENOMEM;
    } catch (const cv::Exception &e) {
        tell(why, size, e.err.c_str());
        return e.code == cv::Error::StsNoMem ? -ENOMEM : -EBADMSG;
    } catch (const std::exception &e) {
        tell(why, size, e.what());
    } catch (...) {
        tell(why, size, "an unknown exception");
    }
    return -EBADMSG;
}

int quiet(int, const char *, const char *, const char *, int, void *)
{
    return 0;
}

/* "conv1" is "onnx_node!conv1" to OpenCV, or "onnx_node_output_0!conv1" where only the output has a name. */
bool same_layer(const std::string &known, const char *asked)
{
    size_t at = known.find('!');
    return known == asked || (at != std::string::npos && known.compare(at + 1, std::string::npos, asked) == 0);
}

/* What comes before a classifier in ResNet and its like: pooled and flattened maps of features. */
bool before_classifier(const std::string &type)
{
    return type == "Pooling" || type == "Flatten" || type == "Reshape" || type == "Reduce";
}

} // namespace

int opencv_prepare(void)
{
    char why[200];
    try {
        setenv("OPENCV_OPENCL_RUNTIME", "disabled", 1);
        setenv("OPENCV_OPENCL_DEVICE", "disabled", 1);
        cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
        cv::redirectError(quiet);
        cv::setNumThreads(1); /* sums in one order, and no threads in the jail */
        cv::getNumberOfCPUs();
        cv::dnn::getAvailableBackends();
        return 0;
    } catch (...) {
        return caught(why, sizeof why);
    }
}

int opencv_net_load(const void *data, size_t bytes, struct opencv_net **out, char *why, size_t why_size)
{
    struct opencv_net *n = nullptr;
    *out = nullptr;
    try {
        n = new opencv_net;
        n->net = cv::dnn::readNetFromONNX(static_cast<const char *>(data), bytes);
        if (n->net.empty()) {
            delete n;
            tell(why, why_size, "it has no layers");
            return -EBADMSG;
        }
        n->net.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
        n->net.setPreferableTarget(cv::dnn::DNN_TARGET_CPU);
        *out = n;
        return 0;
    } catch (...) {
        delete n;
        return caught(why, why_size);
    }
}

void opencv_net_free(struct opencv_net *net)
{
    try {
        delete net;
    } catch (...) {
    }
}

int opencv_net_choose(struct opencv_net *net, const char *layer, char *found, size_t found_size, char *why, size_t why_size)
{
    try {
        std::vector<std::string> names = net->net.getLayerNames();
        size_t chosen = names.size();
        for (size_t i = names.size(); i-- > 0 && chosen == names.size();) {
            if (*layer ? same_layer(names[i], layer) : before_classifier(net->net.getLayer(net->net.getLayerId(names[i]))->type))
                chosen = i;
        }
        if (chosen == names.size() && *layer) {
            std::string text = "it has no layer '" + std::string(layer, strnlen(layer, 80)) + "'; the last are";
            for (size_t i = names.size() > 4 ? names.size() - 4 : 0; i < names.size(); i++)
                text += " " + names[i].substr(names[i].find('!') + 1, 40); /* npos + 1 is 0 */
            tell(why, why_size, text.c_str());
            return -ENOENT;
        }
        if (names.empty()) {
            tell(why, why_size, "it has no layers");
            return -ENOENT;
        }
        net->layer = chosen < names.size() ? names[chosen] : names.back();
        tell(found, found_size, net->layer.c_str());
        return 0;
    } catch (...) {
        return caught(why, why_size);
    }
}

int opencv_net_run(struct opencv_net *net, const float *planes, uint32_t width, uint32_t height, float *out, size_t room,
                   size_t *columns, char *why, size_t why_size)
{
    *columns = 0;
    try {
        int sizes[] = {1, 3, static_cast<int>(height), static_cast<int>(width)};
        cv::Mat blob(4, sizes, CV_32F, const_cast<float *>(planes));
        net->net.setInput(blob);
        cv::Mat made = net->net.forward(net->layer);
        if (made.empty() || made.type() != CV_32F || !made.isContinuous()) {
            tell(why, why_size, "the layer's output is no array of floats");
            return -EBADMSG;
        }
        if (made.total() > room) {
            std::string text = "the layer gives " + std::to_string(made.total()) + " numbers a picture, and " +
                               std::to_string(room) + " are the most: choose one behind a pooling layer";
            tell(why, why_size, text.c_str());
            return -E2BIG;
        }
        std::memcpy(out, made.ptr<float>(), made.total() * sizeof *out);
        for (size_t i = 0; i < made.total(); i++)
            if (!std::isfinite(out[i])) {
                tell(why, why_size, "the layer's output is not finite");
                return -EBADMSG;
            }
        *columns = made.total();
        return 0;
    } catch (...) {
        return caught(why, why_size);
    }
}
